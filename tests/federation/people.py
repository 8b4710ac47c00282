"""People of two servers who meet in rooms (XEP-0045), with slixmpp and with aioxmpp.

Each is in one room at a time. What the libraries know of it is read from them; what happened is kept.
"""

import argparse
import asyncio
import logging
import sys
from datetime import timedelta
from types import SimpleNamespace

from aioxmpp_client import Aioxmpp, aioxmpp
from slixmpp import JID
from slixmpp_client import Slixmpp
from story import PATIENCE, soon

# How much of what was said before somebody asks for.
HISTORY = 20


class InRoom:
    """What both kinds of clients keep."""

    def __init__(self, name, server):
        super().__init__(name, server)
        self.room = None
        self.said = []  # (nickname, text, name in the archive), in the order in which it came
        self.before = set()  # names of what was said before
        self.subject = None
        self.taken_back = []  # (name in the archive, who took it back)
        self.gone = {}  # status codes, by the nickname of who went
        self.out = asyncio.Queue()  # status codes, each time that the room said that it was left
        self.invitations = asyncio.Queue()  # rooms
        self.refusals = asyncio.Queue()  # conditions of errors for what was said

    @property
    def nick(self):
        raise NotImplementedError

    def occupants(self):
        """Returns {nickname: (affiliation, address or "")} of everybody in the room."""
        raise NotImplementedError

    def affiliations(self):
        return {nick: affiliation for nick, (affiliation, _) in self.occupants().items()}

    def addresses(self):
        return {nick: address for nick, (_, address) in self.occupants().items() if address}


class Slix(InRoom, Slixmpp):
    def equip(self, client):
        for plugin in ("xep_0045", "xep_0424", "xep_0425"):
            client.register_plugin(plugin)
        client.add_event_handler("groupchat_message", self.on_said)
        client.add_event_handler("groupchat_subject", self.on_subject)
        client.add_event_handler("groupchat_presence", self.on_occupant)
        client.add_event_handler("groupchat_invite", self.on_invitation)
        client.add_event_handler("groupchat_message_error", self.on_refusal)
        client.add_event_handler("message_retract", self.on_taken_back)

    @property
    def muc(self):
        return self.client.plugin["xep_0045"]

    @property
    def nick(self):
        return self.muc.our_nicks[None][self.room]

    def occupants(self):
        known = self.muc.rooms[None].get(self.room, {})
        return {nick: (one["affiliation"], JID(str(one["jid"])).bare) for nick, one in known.items()}

    async def open(self, room, nick):
        """Makes the room."""
        await self.enter(room, nick)
        form = await soon(self.muc.get_room_config(self.room), "the form of the room")
        form.get_fields()["muc#roomconfig_persistentroom"]["value"] = True
        await soon(self.muc.set_room_config(self.room, form), "the settings of the room")

    async def enter(self, room, nick):
        self.room = JID(room)
        entering = self.muc.join_muc_wait(self.room, nick, maxstanzas=HISTORY, timeout=PATIENCE)
        await soon(entering, f"{self.name} enters {room}")

    async def leave(self):
        self.muc.leave_muc(self.room, self.nick)
        await soon(self.out.get(), f"{self.name} leaves")

    async def rename(self, nick):
        # It keeps the old name where it counts people.
        old = self.nick
        await soon(self.muc.set_self_nick(self.room, nick), f"{self.name} gets another nickname")
        self.muc.rooms[None][self.room].pop(old, None)

    def say(self, text):
        self.client.send_message(mto=self.room, mbody=text, mtype="groupchat")

    def set_subject(self, text):
        self.muc.set_subject(self.room, text)

    async def affiliate(self, jid, affiliation):
        change = self.muc.set_affiliation(self.room, affiliation, jid=JID(jid))
        await soon(change, f"{jid} becomes {affiliation}")

    async def kick(self, nick, reason):
        await soon(self.muc.set_role(self.room, nick, "none", reason=reason), f"{nick} is kicked")

    def take_back(self, name):
        retraction = self.client.plugin["xep_0424"].send_retraction
        retraction(self.room, name, mtype="groupchat", include_fallback=False)

    async def moderate(self, name, reason):
        moderation = self.client.plugin["xep_0425"].moderate(self.room, name, reason)
        await soon(moderation, f"{self.name} moderates")

    def invite(self, jid, reason):
        self.muc.invite(self.room, JID(jid), reason)

    async def archive(self):
        """Reads all that the room keeps, three messages at a time, as `said` has it."""
        found = []
        async for result in self.client.plugin["xep_0313"].iterate(jid=self.room, rsm={"max": 3}):
            message = result["mam_result"]["forwarded"]["stanza"]
            if message["body"]:
                name = result["mam_result"]["id"]
                found.append((message["from"].resource, message["body"], name))
        return found

    def on_said(self, message):
        name = message["stanza_id"]
        assert name["by"] == self.room.bare, message
        if message.get_plugin("delay", check=True):
            self.before.add(name["id"])
        self.said.append((message["from"].resource, message["body"], name["id"]))

    def on_subject(self, message):
        self.subject = message["subject"]

    def on_occupant(self, presence):
        codes = presence["muc"]["status_codes"]
        if presence["type"] != "unavailable" or 303 in codes:
            return
        if 110 in codes:
            # It would take no invitation to a room that it was thrown out of.
            self.muc.rooms[None].pop(self.room, None)
            self.out.put_nowait(codes)
        else:
            self.gone[presence["from"].resource] = codes

    def on_taken_back(self, message):
        moderated = message["retract"].get_plugin("moderated", check=True)
        by = moderated["by"] if moderated is not None else message["from"]
        self.taken_back.append((message["retract"]["id"], str(by)))

    def on_invitation(self, message):
        self.invitations.put_nowait(message["from"].bare)

    def on_refusal(self, message):
        self.refusals.put_nowait(message["error"]["condition"])

    def on_message(self, message):
        if message["type"] == "chat":
            super().on_message(message)


class Aio(InRoom, Aioxmpp):
    # How long it is silent before it asks the room whether it is still in it (XEP-0410), in seconds.
    asks_after = 600

    def listen(self):
        super().listen()
        self.muc = self.client.summon(aioxmpp.MUCClient)
        self.muc.on_muc_invitation.connect(self.on_invitation)

    @property
    def nick(self):
        return self.conversation.me.nick

    def occupants(self):
        if not self.room:
            return {}
        known = self.conversation.members
        return {one.nick: (one.affiliation, str(one.direct_jid or "")) for one in known}

    async def enter(self, room, nick):
        self.room = room
        history = aioxmpp.muc.xso.History(maxstanzas=HISTORY)
        address = aioxmpp.JID.fromstr(room)
        self.conversation, entered = self.muc.join(address, nick, history=history)
        self.conversation.muc_soft_timeout = timedelta(seconds=self.asks_after)
        self.conversation.muc_ping_interval = timedelta(seconds=self.asks_after)
        self.conversation.on_message.connect(self.on_said)
        self.conversation.on_topic_changed.connect(self.on_subject)
        self.conversation.on_leave.connect(self.on_leave)
        self.conversation.on_exit.connect(self.on_exit)
        await soon(entered, f"{self.name} enters {room}")

    async def leave(self):
        await soon(self.conversation.leave(), f"{self.name} leaves")
        await soon(self.out.get(), f"{self.name} is out")

    async def rename(self, nick):
        await self.conversation.set_nick(nick)
        # It waits for nothing.
        await until(lambda: self.nick == nick, lambda: f"{self.name} is {self.nick}")

    def say(self, text):
        message = aioxmpp.Message(type_=aioxmpp.MessageType.GROUPCHAT)
        message.body[None] = text
        self.conversation.send_message(message)

    def on_said(self, message, member, source, **more):
        (name,) = message.xep0359_stanza_ids
        assert str(name.by) == self.room, name
        if message.xep0203_delay:
            self.before.add(name.id_)
        self.said.append((message.from_.resource, message.body.any(), name.id_))

    def on_subject(self, member, subject, **more):
        self.subject = subject.any()

    def on_leave(self, member, muc_status_codes=(), **more):
        self.gone[member.nick] = numbers(muc_status_codes)

    def on_exit(self, muc_status_codes=(), **more):
        self.room = None
        self.out.put_nowait(numbers(muc_status_codes))

    def on_invitation(self, stanza, room, *more, **too):
        self.invitations.put_nowait(str(room))


def numbers(codes):
    return {getattr(code, "value", code) for code in codes}


async def until(is_so, what):
    """Waits until something is so, but not for ever; `what` is what is known of it then."""

    async def wait():
        while not is_so():
            await asyncio.sleep(0.02)

    try:
        await asyncio.wait_for(wait(), PATIENCE)
    except asyncio.TimeoutError:
        raise AssertionError(f"not within {PATIENCE} s: {what()}") from None


def run(stories):
    """Runs the story that the first argument names, with a server of ours and one of others."""
    parser = argparse.ArgumentParser()
    parser.add_argument("story", choices=list(stories))
    parser.add_argument("--ca", required=True, help="the authority of both servers, PEM")
    parser.add_argument("--password", required=True, help="of everybody, with NAME for the name")
    parser.add_argument("--ours", nargs=2, required=True, metavar=("DOMAIN", "ADDRESS"))
    parser.add_argument("--theirs", nargs=2, required=True, metavar=("DOMAIN", "ADDRESS"))
    parser.add_argument("--verbose", action="store_true", help="show what is sent")
    asked = parser.parse_args()
    level = logging.DEBUG if asked.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr)
    secrets = {name: asked.password.replace("NAME", name) for name in ("ana", "ben", "carl", "dora")}
    ours, theirs = (
        SimpleNamespace(
            domain=domain, address=address, ca=asked.ca, starttls=5222, tls=5223, **secrets
        )
        for domain, address in (asked.ours, asked.theirs)
    )
    asyncio.run(asyncio.wait_for(stories[asked.story](ours, theirs), 300))
