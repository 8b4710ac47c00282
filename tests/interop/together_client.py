"""Two programs of different people on one account: Profanity and slixmpp are ana, and show the same."""

import sys

from profanity_client import Profanity, aside
from slixmpp_client import Slixmpp
from story import ok, run, soon


async def befriend(ana, ben):
    """Makes them contacts, with the device of ana that asks for the roster."""
    for one, other in ((ana, ben), (ben, ana)):
        one.presence(to=other.jid, kind="subscribe")
        await other.sees(one.jid, "subscribe")
        other.presence(to=one.jid, kind="subscribed")
        await one.sees(other.jid, "subscribed")


async def conversation(laptop, phone, ben):
    """Each writes, on each device; both devices of ana show all of it, in its order."""
    said = []
    await aside(laptop.types, f"/msg {ben.jid}")
    for number in range(2):
        ben.text(phone.jid, f"ben says {number}")
        said.append(f"ben says {number}")
        await phone.reads(ben.jid, said[-1])
        await aside(laptop.shows, *said)
        await aside(laptop.types, f"the laptop says {number}")
        said.append(f"the laptop says {number}")
        await ben.reads(phone.jid, said[-1])
        copy = await soon(phone.copies.get(), "the phone has what the laptop sent")
        assert (copy[0], copy[2].split("/")[0], copy[3]) == ("sent", ben.jid, said[-1]), copy
        phone.text(ben.jid, f"the phone says {number}")
        said.append(f"the phone says {number}")
        await ben.reads(phone.jid, said[-1])
        await aside(laptop.shows, *said)
        # To one device alone; the other has a copy.
        ben.text(phone.here(), f"ben says to the phone {number}")
        said.append(f"ben says to the phone {number}")
        await phone.reads(ben.jid, said[-1])
        await aside(laptop.shows, *said)
    for text in said:
        assert await aside(laptop.count, text) == 1, text
    ok("same-conversation")
    return said


async def whole_story(server):
    phone, ben = Slixmpp("ana", server), Slixmpp("ben", server)
    laptop = Profanity(server.ca)
    try:
        await phone.login("starttls")
        await ben.login("tls")
        await phone.roster()
        await ben.roster()
        await befriend(phone, ben)
        await phone.shares()
        await aside(laptop.types, "/carbons on")
        await aside(laptop.connect, phone.jid, server.starttls, "force", server.ana)
        await aside(laptop.shows, f"{phone.jid}/", "logged in successfully")
        ok("login")
        said = await conversation(laptop, phone, ben)
        # A device that was never there before reads the same.
        tablet = Slixmpp("ana", server)
        await tablet.login("tls")
        assert [body for _, body, _ in await tablet.history(ben.jid)] == said
        ok("archive")
        await aside(laptop.types, "/quit")
        for person in (phone, tablet, ben):
            assert person.texts.empty(), person.texts
            await person.logout()
        ok("logout")
    except AssertionError:
        print(laptop.screen(), file=sys.stderr)
        raise
    finally:
        laptop.close()


if __name__ == "__main__":
    run(whole_story)
