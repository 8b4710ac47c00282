"""Old and new clients of one account, with slixmpp: one avatar, one set of bookmarks.

`new` does as clients of today do (XEP-0084, XEP-0402), `old` as those before (XEP-0153, XEP-0048 over
PEP and over private storage). Each sees what the other changed, in its own form.
"""

import asyncio
import hashlib
import logging
import struct
import sys
import zlib

import slixmpp
from slixmpp.plugins.xep_0048.stanza import Bookmarks
from slixmpp.plugins.xep_0402.stanza import Conference

from slixmpp_client import server_port, settle
from story import arguments, ok, soon

NEW = "urn:xmpp:bookmarks:1"
OLD = "storage:bookmarks"
EVENT = "http://jabber.org/protocol/pubsub#event"


def image(red):
    """Returns a PNG of one pixel."""

    def chunk(name, data):
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(bytes([0, red, 0, 0]))
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


class Device:
    def __init__(self, name, resource, server):
        self.server = server
        self.client = slixmpp.ClientXMPP(f"{name}@{server.domain}/{resource}", getattr(server, name))
        self.jid = f"{name}@{server.domain}"
        self.events = asyncio.Queue()
        self.hashes = asyncio.Queue()

    async def login(self, plugins, interests):
        client = self.client
        client.ca_certs = self.server.ca
        client.enable_plaintext = client.enable_direct_tls = False
        for plugin in ("xep_0115", "xep_0060", "xep_0163", *plugins):
            client.register_plugin(plugin)
        outcome = asyncio.get_running_loop().create_future()
        for event in ("session_start", "failed_auth", "connection_failed"):
            client.add_event_handler(event, lambda data, event=event: settle(outcome, event, data))
        client.add_event_handler("presence", self.on_presence)
        for event in ("pubsub_publish", "pubsub_retract"):
            client.add_event_handler(event, self.on_event)
        client.connect("127.0.0.1", server_port(self.server, "starttls"))
        event, data = await soon(outcome, f"{client.boundjid} logs in")
        assert event == "session_start", (event, data)
        for node in interests:
            client.plugin["xep_0163"].add_interest(node)
        await client.plugin["xep_0115"].update_caps()
        client.send_presence()

    def on_event(self, message):
        # slixmpp goes through its own items meanwhile, and would begin anew.
        for items in message.xml.iter(f"{{{EVENT}}}items"):
            for item in items.iter(f"{{{EVENT}}}item"):
                self.events.put_nowait((items.get("node"), item.get("id"), next(iter(item), None)))

    def on_presence(self, presence):
        photo = presence.xml.find("{vcard-temp:x:update}x/{vcard-temp:x:update}photo")
        if photo is not None:
            self.hashes.put_nowait((str(presence["from"]), photo.text or ""))

    async def hears(self, node, wanted=None):
        """Waits for an event of a node; returns its payload."""
        while True:
            its_node, id, payload = await soon(self.events.get(), f"{self.client.boundjid} {node}")
            if its_node == node and (wanted is None or id == wanted):
                return payload

    async def sees(self, who, photo):
        """Waits for presence that tells of a photo."""
        while (told := await soon(self.hashes.get(), f"{self.client.boundjid} {photo}")) != (who, photo):
            pass

    async def features(self):
        info = await self.client.plugin["xep_0030"].get_info(self.jid)
        return set(info["disco_info"]["features"])

    async def photo(self, jid=None):
        card = await self.client.plugin["xep_0054"].get_vcard(jid or self.jid, cached=False)
        return card["vcard_temp"]["PHOTO"]["BINVAL"]

    async def published(self):
        """Returns the avatar as it is published."""
        pubsub = self.client.plugin["xep_0060"]
        said = await pubsub.get_items(self.jid, "urn:xmpp:avatar:metadata")
        info = next(said.xml.iter("{urn:xmpp:avatar:metadata}info"))
        image = await self.client.plugin["xep_0084"].retrieve_avatar(self.jid, info.get("id"))
        (item,) = image["pubsub"]["items"]
        return item["avatar_data"]["value"]

    async def items(self):
        """Returns the bookmarks as items."""
        got = await self.client.plugin["xep_0060"].get_items(self.jid, NEW)
        rooms = {}
        for item in got["pubsub"]["items"]:
            conference = item["conference"]
            rooms[item["id"]] = (conference["name"], conference["autojoin"], conference["nick"])
        return rooms

    async def listed(self, method):
        """Returns the bookmarks of a list."""
        got = await self.client.plugin["xep_0048"].get_bookmarks(method=method)
        if method == "xep_0223":
            (item,) = got["pubsub"]["items"]
            return rooms(item["bookmarks"])
        return rooms(got["private"]["bookmarks"])

    async def sets(self, method, wanted):
        """Replaces a list."""
        bookmarks = Bookmarks()
        for room, (name, joined, nick) in wanted.items():
            bookmarks.add_conference(room, nick, name=name, autojoin=joined)
        await self.client.plugin["xep_0048"].set_bookmarks(bookmarks, method=method)

    async def adds(self, room, name, joined, nick):
        """Publishes an item, with an extension that only it knows."""
        conference = Conference()
        conference["name"], conference["autojoin"], conference["nick"] = name, joined, nick
        conference["extensions"].xml.append(slixmpp.ET.Element("{urn:example:state}minimized"))
        options = self.client.plugin["xep_0004"].make_form(ftype="submit")
        options.add_field("FORM_TYPE", "hidden", value="http://jabber.org/protocol/pubsub#publish-options")
        options.add_field("pubsub#persist_items", value="true")
        options.add_field("pubsub#max_items", value="max")
        options.add_field("pubsub#send_last_published_item", value="never")
        options.add_field("pubsub#access_model", value="whitelist")
        await self.client.plugin["xep_0060"].publish(
            self.jid, NEW, id=room, payload=conference.xml, options=options
        )


def rooms(bookmarks):
    return {
        str(room["jid"]): (room["name"], room["autojoin"], room["nick"])
        for room in bookmarks["conferences"]
    }


async def avatars(new, old, ben):
    first, second = image(1), image(2)
    id_of = lambda data: hashlib.sha1(data).hexdigest()
    avatar = new.client.plugin["xep_0084"]
    info = {"id": id_of(first), "type": "image/png", "bytes": len(first)}
    open_node = new.client.plugin["xep_0004"].make_form(ftype="submit")
    open_node.add_field("FORM_TYPE", "hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    open_node.add_field("pubsub#access_model", value="open")
    await avatar.publish_avatar(first, options=open_node)
    await avatar.publish_avatar_metadata(info, options=open_node)
    await new.hears("urn:xmpp:avatar:metadata", id_of(first))
    assert await old.photo() == first
    assert await ben.photo(new.jid) == first
    new.client.send_presence(pstatus="with a photo")
    await old.sees(str(new.client.boundjid), id_of(first))
    ok("avatar-to-card")
    await old.client.plugin["xep_0153"].set_avatar(avatar=second, mtype="image/png")
    await new.hears("urn:xmpp:avatar:metadata", id_of(second))
    assert await new.published() == second
    assert await ben.photo(new.jid) == second
    await new.sees(str(old.client.boundjid), id_of(second))
    ok("card-to-avatar")


async def bookmarks(new, old):
    play, orchard = "theplay@rooms.example", "orchard@rooms.example"
    await new.adds(play, "The Play", True, "JC")
    await old.hears(OLD)
    for method in ("xep_0223", "xep_0049"):
        assert await old.listed(method) == {play: ("The Play", True, "JC")}, method
    ok("item-to-lists")
    both = {play: ("The Play", True, "Julia"), orchard: ("The Orchard", False, "JC")}
    await old.sets("xep_0049", both)
    changed = await new.hears(NEW, play)
    assert changed.find(f"{{{NEW}}}extensions/{{urn:example:state}}minimized") is not None
    assert await new.items() == both
    assert await old.listed("xep_0223") == both
    ok("private-to-items")
    del both[play]
    both[orchard] = ("Orchard", True, "Romeo")
    await old.sets("xep_0223", both)
    await new.hears(NEW, orchard)
    assert await new.items() == both
    assert await old.listed("xep_0049") == both
    await new.client.plugin["xep_0060"].retract(new.jid, NEW, orchard, notify=True)
    assert await old.listed("xep_0049") == {}
    assert await old.listed("xep_0223") == {}
    ok("lists-to-items")


async def story(server):
    new, old, ben = (Device(*who, server) for who in (("ana", "new"), ("ana", "old"), ("ben", "any")))
    plugins = ("xep_0054", "xep_0084", "xep_0402")
    await new.login(plugins, ["urn:xmpp:avatar:metadata", NEW])
    await old.login(("xep_0054", "xep_0049", "xep_0223", "xep_0048", "xep_0153"), [OLD])
    await ben.login(("xep_0054",), [])
    wanted = {
        "urn:xmpp:pep-vcard-conversion:0",
        "urn:xmpp:bookmarks:1#compat",
        "urn:xmpp:bookmarks:1#compat-pep",
        "urn:xmpp:bookmarks-conversion:0",
    }
    assert wanted <= await new.features()
    ok("features")
    await avatars(new, old, ben)
    await bookmarks(new, old)
    for device in (new, old, ben):
        await device.client.disconnect()
    ok("logout")


if __name__ == "__main__":
    server = arguments()
    level = logging.DEBUG if server.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr)
    asyncio.run(asyncio.wait_for(story(server), 120))
