"""What two people do, told once for all Python clients.

A client is a subclass of `Person`. `tell` lets ana and ben log in, become contacts, chat, lose
their connections and lose the server. Each step that went well is printed as `ok NAME`; the first
that does not ends the program with its traceback.
"""

import argparse
import asyncio
import logging
import sys

DOMAIN = "chat.example"

# How long something that will happen may take on a busy machine, in seconds.
PATIENCE = 30


GREETINGS = ["Hello Ben", "<b>&amp;</b> 'quoted' \"twice\"", "Ünïcödé 🐦"]


class Person:
    """One account and its client: what every client can do, and what came in."""

    # Whether it can be one of several devices: copies, and the archive.
    knows_devices = False
    # Whether the library sends what was not acknowledged in the order it was written.
    resends_in_order = True

    def __init__(self, name, server):
        self.name = name
        self.jid = f"{name}@{server.domain}"
        self.password = getattr(server, name)
        self.server = server
        self.authority = server.ca
        self.texts = asyncio.Queue()  # (from, body, is_delayed)
        self.copies = asyncio.Queue()  # ("sent" or "received", from, to, body)
        self.names = {}  # of messages in the account's archive, by body
        self.presences = asyncio.Queue()  # (from, type or show, status)
        self.resumed = asyncio.Event()
        self.lost = asyncio.Event()

    async def login(self, transport):
        """Logs in over "starttls" or "tls" and sends presence; raises when that fails."""
        raise NotImplementedError

    async def logout(self):
        """Closes the stream."""
        raise NotImplementedError

    async def roster(self):
        """Asks the server for the roster and returns {address: subscription}."""
        raise NotImplementedError

    def presence(self, to=None, kind=None, show=None, status=None):
        """Sends presence."""
        raise NotImplementedError

    def text(self, to, body):
        """Sends a chat message."""
        raise NotImplementedError

    async def written(self):
        """Waits until texts are on their way, where the client would lose them otherwise."""

    def will_break(self):
        """Is told that the connection breaks soon."""
        self.resumed.clear()
        self.lost.clear()

    async def shares(self):
        """Asks for copies of what the account's other devices send and get (XEP-0280)."""
        raise NotImplementedError

    def here(self):
        """Returns the full address."""
        raise NotImplementedError

    async def also(self, phone, ben):
        """Does what only this client has an interface for, with a second device of its account."""

    async def history(self, other):
        """Reads the archive (XEP-0313) page by page: [(sender, body, name)] with one person."""
        raise NotImplementedError

    def cut(self):
        """Breaks the connection as a lost network does: without the end of the stream."""
        raise NotImplementedError

    async def resume(self):
        """Connects again and continues the same session; fails when it is a new one."""
        raise NotImplementedError

    async def reads(self, sender, *bodies):
        """Expects exactly these texts next, in this order; returns which of them were delayed."""
        delays = []
        for body in bodies:
            got_from, got, delayed = await soon(self.texts.get(), f"{self.name} reads {body!r}")
            assert (got_from.split("/")[0], got) == (sender, body), (
                f"{self.name} reads {got!r} of {got_from} instead of {body!r}"
            )
            delays.append(delayed)
        return delays

    async def sees(self, sender, kind, status=None):
        """Waits for this presence of somebody and returns the full address."""
        while True:
            wanted = f"{self.name} sees {sender} {kind}"
            got_from, got, got_status = await soon(self.presences.get(), wanted)
            is_it = (got_from.split("/")[0], got) == (sender, kind)
            if is_it and (status is None or status == got_status):
                return got_from


async def soon(future, what):
    """Waits for `future`, but not for ever."""
    try:
        return await asyncio.wait_for(future, PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"{what}: not within {PATIENCE} s") from None


def ok(step):
    """Says that a step went well."""
    print(f"ok {step}", flush=True)


async def please(wish):
    """Asks whoever runs this to do something with the server, and waits until it is done."""
    print(f"please {wish}", flush=True)
    answer = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    assert answer.strip() == "done", f"nobody there to {wish}"


async def refused(login, *words):
    """Expects that a login fails with a reason that has one of these words in it."""
    try:
        await soon(login, "a refusal")
    except AssertionError:
        raise
    except Exception as error:  # each library has its own
        why = reasons(error).lower()
        assert any(word in why for word in words), why
    else:
        raise AssertionError("a login that must fail succeeded")


def reasons(error):
    """Returns what an error and those that led to it say."""
    own = f"{type(error).__name__} {error}"
    return f"{own}; {reasons(error.__context__)}" if error.__context__ else own


async def refusals(make, server):
    """A foreign certificate and a wrong password are refused, over both transports."""
    for transport in ("starttls", "tls"):
        person = make("ana", server)
        person.authority = server.wrong_ca
        await refused(person.login(transport), "certificate")
        await person.logout()
    ok("foreign-certificate")
    for transport in ("starttls", "tls"):
        person = make("ana", server)
        person.password = "wrong"
        await refused(person.login(transport), "not-authorized", "authentication")
        await person.logout()
    ok("wrong-password")


async def contacts(ana, ben):
    """They become contacts of each other and see each other come and go."""
    assert await ana.roster() == {}
    assert await ben.roster() == {}
    ok("roster")

    ana.presence(to=ben.jid, kind="subscribe")
    await ben.sees(ana.jid, "subscribe")
    ben.presence(to=ana.jid, kind="subscribed")
    await ana.sees(ben.jid, "subscribed")
    await ana.sees(ben.jid, "available")
    assert (await ana.roster())[ben.jid] == "to"
    assert (await ben.roster())[ana.jid] == "from"
    ben.presence(to=ana.jid, kind="subscribe")
    await ana.sees(ben.jid, "subscribe")
    ana.presence(to=ben.jid, kind="subscribed")
    await ben.sees(ana.jid, "subscribed")
    await ben.sees(ana.jid, "available")
    assert await ana.roster() == {ben.jid: "both"}
    assert await ben.roster() == {ana.jid: "both"}
    ok("subscribe")

    ana.presence(show="away", status="At the café & bakery")
    await ben.sees(ana.jid, "away", "At the café & bakery")
    ben.presence(show="dnd")
    await ana.sees(ben.jid, "dnd")
    ana.presence()
    await ben.sees(ana.jid, "available")
    ok("presence")


async def chat(ana, ben):
    """They write to each other; ben is away for a while and finds what was written."""
    there = GREETINGS
    for body in there:
        ana.text(ben.jid, body)
    assert await ben.reads(ana.jid, *there) == [False] * 3
    ben.text(ana.jid, "Hello Ana")
    await ana.reads(ben.jid, "Hello Ana")
    ok("chat")

    await ben.logout()
    await ana.sees(ben.jid, "unavailable")
    for number in range(3):
        ana.text(ben.jid, f"offline {number}")
    await ana.roster()  # its answer says that the server has them
    await ben.login("starttls")
    await ana.sees(ben.jid, "available")
    await ben.sees(ana.jid, "available")
    assert await ben.reads(ana.jid, *(f"offline {n}" for n in range(3))) == [True] * 3
    await ana.logout()
    await ben.sees(ana.jid, "unavailable")
    await ana.login("tls")
    await ben.sees(ana.jid, "available")
    ok("offline")


async def devices(make, server, ana, ben):
    """Ana has a second device, which sees both sides and reads what was before it."""
    phone = make("ana", server)
    await phone.login("tls")
    await ben.sees(ana.jid, "available")
    await phone.shares()
    ben.text(ana.here(), "to one device")
    await ana.reads(ben.jid, "to one device")
    copy = await soon(phone.copies.get(), "the phone gets what the other device got")
    assert copy == ("received", ben.here(), ana.here(), "to one device"), copy
    ana.text(ben.jid, "from one device")
    await ben.reads(ana.jid, "from one device")
    copy = await soon(phone.copies.get(), "the phone gets what the other device sent")
    assert copy == ("sent", ana.here(), ben.jid, "from one device"), copy
    ben.text(ana.jid, "to all devices")
    await ana.reads(ben.jid, "to all devices")
    await phone.reads(ben.jid, "to all devices")
    assert phone.copies.empty() and ana.copies.empty(), (phone.copies, ana.copies)
    ok("carbons")

    history = await phone.history(ben.jid)
    said = [(sender.split("/")[0], body) for sender, body, _ in history]
    expected = [(ana.jid, body) for body in GREETINGS] + [(ben.jid, "Hello Ana")]
    expected += [(ana.jid, f"offline {number}") for number in range(3)]
    expected += [(ben.jid, "to one device"), (ana.jid, "from one device")]
    expected += [(ben.jid, "to all devices")]
    assert said == expected, said
    names = {body: name for _, body, name in history}
    assert len(set(names.values())) == len(history), history
    # What came live, and as a copy, has the same name.
    for person, bodies in ((ana, ["to one device"]), (phone, ["to all devices", "from one device"])):
        for body in bodies:
            assert person.names[body] == names[body], (body, person.names, names)
    assert await ben.history(ana.jid) != [], "the other side has its own"
    ok("archive")
    await ana.also(phone, ben)
    await phone.logout()
    await ben.sees(ana.jid, "unavailable")


async def cuts(ana, ben):
    """One connection breaks, then the other; nothing is lost and nothing comes twice."""
    for here, gone in ((ana, ben), (ben, ana)):
        gone.text(here.jid, "before the cut")
        gone.will_break()
        gone.cut()
        for number in range(3):
            here.text(gone.jid, f"while cut {number}")
        await here.roster()
        await gone.resume()
        await gone.reads(here.jid, *(f"while cut {n}" for n in range(3)))
        gone.text(here.jid, "back again")
        await here.reads(gone.jid, "before the cut", "back again")
    ok("resume-after-cut")


async def kill(ana, ben):
    """The server is killed while they write; both continue their sessions with the next one."""
    ana.text(ben.jid, "before the kill")
    await ben.reads(ana.jid, "before the kill")
    for number in range(5):
        ana.text(ben.jid, f"around the kill {number}")
    for person in (ana, ben):
        person.will_break()
    await ana.written()
    await please("kill")
    await asyncio.gather(ana.resume(), ben.resume())
    around = [f"around the kill {number}" for number in range(5)]
    if ana.resends_in_order:
        await ben.reads(ana.jid, *around)
    else:
        got = [(await soon(ben.texts.get(), "ben reads what was resent"))[1] for _ in around]
        assert sorted(got) == around, got
    ben.text(ana.jid, "alive")
    await ana.reads(ben.jid, "alive")
    assert await ana.roster() == {ben.jid: "both"}
    ben.presence(show="away")
    await ana.sees(ben.jid, "away")
    ok("resume-after-kill")


async def goodbye(ana, ben):
    """They leave; whatever came twice would be found now."""
    ben.text(ana.jid, "goodbye")
    await ana.reads(ben.jid, "goodbye")
    await ben.logout()
    await ana.sees(ben.jid, "unavailable")
    await ana.logout()
    assert ana.texts.empty() and ben.texts.empty(), (ana.texts, ben.texts)
    ok("logout")


async def whole_story(make, server):
    await refusals(make, server)
    ana, ben = make("ana", server), make("ben", server)
    await ana.login("starttls")
    ok("login-starttls")
    await ben.login("tls")
    ok("login-tls")
    await contacts(ana, ben)
    await chat(ana, ben)
    if ana.knows_devices:
        await devices(make, server, ana, ben)
    await cuts(ana, ben)
    await kill(ana, ben)
    await goodbye(ana, ben)


def arguments():
    """Returns where the server is: what the runner says, or whoever tries it by hand."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--domain", default=DOMAIN)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--starttls", type=int, required=True, help="a port of the address")
    parser.add_argument("--tls", type=int, required=True, help="a port of the address")
    parser.add_argument("--ca", required=True, help="the authority of the server, PEM")
    parser.add_argument("--wrong-ca", required=True, help="some other authority, PEM")
    parser.add_argument("--ana", required=True, help="the password of ana")
    parser.add_argument("--ben", required=True, help="the password of ben")
    parser.add_argument("--verbose", action="store_true", help="show what is sent")
    return parser.parse_args()


def run(story):
    """Runs `story(server)`, an own one of a client."""
    server = arguments()
    level = logging.DEBUG if server.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr)
    asyncio.run(asyncio.wait_for(story(server), 300))


def tell(make):
    """Runs the whole story with the client `make(name, server)`."""
    run(lambda server: whole_story(make, server))
