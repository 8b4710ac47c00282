"""slixmpp-omemo: two people with two devices each, and nobody else who can read it (XEP-0384).

The server keeps keys and device lists in PEP, tells everybody of new devices, and copies what is
encrypted to all of them.
"""

import asyncio
import sys

from omemo.storage import Just, Nothing, Storage
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384

from slixmpp_client import Slixmpp
from story import PATIENCE, contacts, ok, run, soon

OLD = "eu.siacs.conversations.axolotl"
NEW = "urn:xmpp:omemo:2"
LISTS = {OLD: f"{OLD}.devicelist", NEW: f"{NEW}:devices"}


class Memory(Storage):
    """What a device remembers, as long as the test lasts."""

    def __init__(self):
        super().__init__()
        self.values = {}

    async def _load(self, key):
        return Just(self.values[key]) if key in self.values else Nothing()

    async def _store(self, key, value):
        self.values[key] = value

    async def _delete(self, key):
        self.values.pop(key, None)


class Encryption(XEP_0384):
    """The plugin with the decisions that it leaves to a client: first trust, then verify."""

    default_config = {**XEP_0384.default_config, "memory": None}

    @property
    def storage(self):
        return self.memory

    @property
    def _btbv_enabled(self):
        return True

    async def _prompt_manual_trust(self, devices, identifier):
        raise AssertionError("nobody verified anything, so nothing is to be asked")


register_plugin(Encryption, "xep_0384")


class Device(Slixmpp):
    """A device that reads and writes nothing in the clear."""

    def __init__(self, name, server, resource):
        super().__init__(name, server)
        # What it wants to hear of (`+notify`) it notes for the address that it has when it is made.
        self.resource = f"/{resource}"
        self.memory = Memory()
        self.incoming = asyncio.Queue()
        self.reader = None

    async def login(self, transport):
        self.published = asyncio.Event()
        await super().login(transport)
        self.reader = self.reader or asyncio.ensure_future(self.decrypt())
        await soon(self.published.wait(), f"{self.name} publishes the keys of a device")
        await self.shares()

    def equip(self, client):
        config = {"memory": self.memory}
        client.register_plugin("xep_0384", config, module=sys.modules[__name__])
        client.add_event_handler("omemo_initialized", lambda _: self.published.set())

    @property
    def plugin(self):
        return self.client.plugin["xep_0384"]

    async def keys(self):
        return await soon(self.plugin.get_session_manager(), f"{self.name} has keys")

    async def id(self):
        return (await (await self.keys()).get_own_device_information())[0].device_id

    async def knows(self, jid, *devices):
        """Waits until exactly these devices of somebody are in the lists that the server sent."""
        wanted = {await device.id() for device in devices if device is not self}
        for _ in range(PATIENCE * 10):
            known = await (await self.keys()).get_device_information(jid)
            active = {one.device_id for one in known if all(is_active for _, is_active in one.active)}
            # Of itself it may believe that it is not in the list, when that came late.
            active -= {await self.id()}
            if active == wanted and all({OLD, NEW} == set(one.namespaces) for one in known):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"{self.name} knows {known} and not {wanted} of {jid}")

    async def whispers(self, to, body):
        """Sends a text that only the devices of both can read."""
        message = self.client.make_message(mto=to, mtype="chat", mbody=body)
        encrypted, faults = await self.plugin.encrypt_message(message, message["to"])
        assert not faults, faults
        assert body not in str(encrypted), encrypted
        encrypted.send()

    def on_message(self, message):
        # Not news of keys, nor that keys did not reach a device that just left.
        if message["type"] not in ("headline", "error"):
            self.hears(self.texts, message)

    def on_copy(self, way, copy):
        self.hears(self.copies, copy[f"carbon_{way}"])

    def hears(self, where, message):
        # Not that somebody is typing.
        if message["body"]:
            self.incoming.put_nowait((where, message))

    async def decrypt(self):
        """Reads one after the other, for each text moves the keys on."""
        while True:
            where, message = await self.incoming.get()
            sender, delayed = str(message["from"]), message.get_plugin("delay", check=True)
            try:
                clear, _ = await self.plugin.decrypt_message(message)
                if clear["body"]:  # or it only moves keys on
                    where.put_nowait((sender, clear["body"], delayed is not None))
            except Exception as error:
                where.put_nowait((sender, f"{error!r} of {message}", delayed is not None))

    async def reads_copies(self, sender, *bodies):
        for body in bodies:
            got = await soon(self.copies.get(), f"another device of {self.name} has {body!r}")
            assert (got[0].split("/")[0], got[1]) == (sender, body), got


async def published(device, jid, devices):
    """Reads with `device` what the server has of somebody: lists and keys, old and new."""
    pubsub = device.client.plugin["xep_0060"]
    ids = {str(await each.id()) for each in devices}
    for namespace, node in LISTS.items():
        answer = await soon(pubsub.get_items(jid, node), f"the list in {node}")
        (item,) = answer["pubsub"]["items"]
        listed = {each.get("id") for each in item.xml.iter(f"{{{namespace}}}device")}
        assert listed == ids, (node, listed, ids)
    for number in ids:
        for node, wanted in ((f"{OLD}.bundles:{number}", None), (f"{NEW}:bundles", [number])):
            answer = await soon(pubsub.get_items(jid, node, item_ids=wanted), f"keys in {node}")
            assert len(list(answer["pubsub"]["items"])) == 1, answer


async def whole_story(server):
    ana, ben = Device("ana", server, "laptop"), Device("ben", server, "desk")
    await ana.login("starttls")
    await ben.login("tls")
    ok("login")
    await contacts(ana, ben)
    await ana.knows(ben.jid, ben)
    await ben.knows(ana.jid, ana)
    await published(ana, ben.jid, [ben])
    ok("keys")

    await ana.whispers(ben.jid, "only for one device")
    await ben.reads(ana.jid, "only for one device")
    await ben.whispers(ana.jid, "and back")
    await ana.reads(ben.jid, "and back")
    ok("two-devices")

    phone, tablet = Device("ana", server, "phone"), Device("ben", server, "tablet")
    await phone.login("tls")
    await tablet.login("starttls")
    for device in (ana, phone, ben, tablet):
        await device.knows(ana.jid, ana, phone)
        await device.knows(ben.jid, ben, tablet)
    await published(ana, ben.jid, [ben, tablet])
    await published(tablet, ana.jid, [ana, phone])
    ok("new-devices")

    await ana.whispers(ben.jid, "for all four")
    for device in (ben, tablet):
        await device.reads(ana.jid, "for all four")
    await phone.reads_copies(ana.jid, "for all four")
    await tablet.whispers(ana.jid, "from the new one")
    for device in (ana, phone):
        await device.reads(ben.jid, "from the new one")
    await ben.reads_copies(ben.jid, "from the new one")
    # To one device by its full address: the other has a copy, and can read it.
    await ben.whispers(phone.here(), "to the phone")
    await phone.reads(ben.jid, "to the phone")
    await ana.reads_copies(ben.jid, "to the phone")
    await tablet.reads_copies(ben.jid, "to the phone")
    ok("four-devices")

    for device in (ben, tablet):
        await device.logout()
    for number in range(3):
        await phone.whispers(ben.jid, f"while you were away {number}")
    await ana.reads_copies(ana.jid, *(f"while you were away {number}" for number in range(3)))
    for device in (ben, tablet):
        await catch_up(device, ana)
    ok("away")

    await ben.whispers(ana.jid, "goodbye")
    for device in (ana, phone):
        await device.reads(ben.jid, "goodbye")
    for device in (ana, phone, ben, tablet):
        await device.logout()
        assert device.texts.empty(), device.texts
    ok("logout")


async def catch_up(device, ana):
    """A device comes back; what it missed waits for it, or is in the archive when another one had
    it before."""
    await device.login("tls")
    wanted = [f"while you were away {number}" for number in range(3)]
    try:
        got = [(await asyncio.wait_for(device.texts.get(), 2))[1] for _ in wanted]
    except asyncio.TimeoutError:
        pages = device.client.plugin["xep_0313"].iterate(with_jid=ana.jid, rsm={"max": 10})
        missed = [result["mam_result"]["forwarded"]["stanza"] async for result in pages][-3:]
        for message in missed:
            device.on_message(message)
        got = [(await soon(device.texts.get(), "what was missed"))[1] for _ in wanted]
    assert got == wanted, got


if __name__ == "__main__":
    run(whole_story)
