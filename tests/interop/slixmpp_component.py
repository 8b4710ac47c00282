"""A bridge as somebody writes it with slixmpp (XEP-0114): it answers what people write to it."""

import asyncio
import os

import slixmpp

from slixmpp_client import Slixmpp
from story import arguments, ok, soon

IRC = "irc.chat.example"


class Bridge(slixmpp.ComponentXMPP):
    """Says everything back, from the address that it was said to."""

    def __init__(self, secret, port):
        super().__init__(IRC, secret, "127.0.0.1", port)
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.plugin["xep_0030"].add_identity(category="gateway", itype="irc", name="IRC")
        self.started = asyncio.Event()
        self.gone = asyncio.Event()
        self.errors = asyncio.Queue()
        self.subscribers = asyncio.Queue()
        self.add_event_handler("session_start", lambda _: self.started.set())
        self.add_event_handler("disconnected", lambda _: self.gone.set())
        self.add_event_handler("stream_error", self.errors.put_nowait)
        self.add_event_handler("message", self.on_message)
        self.add_event_handler("presence_subscribe", self.on_subscribe)

    def on_message(self, message):
        if message["type"] == "chat":
            message.reply(f"you said {message['body']}").send()

    def on_subscribe(self, presence):
        self.send_presence(pto=presence["from"].bare, pfrom=presence["to"].bare, ptype="subscribed")
        self.send_presence(pto=presence["from"].bare, pfrom=f"{presence['to'].bare}/irc")


async def refused(secret, port, condition):
    """Connects and is told why that cannot be."""
    bridge = Bridge(secret, port)
    bridge.connect()
    error = await soon(bridge.errors.get(), f"{condition}")
    assert error["condition"] == condition, error
    assert not bridge.started.is_set()
    bridge.cancel_connection_attempt()
    bridge.abort()


async def whole_story(server):
    port, secret = int(os.environ["COMPONENT_PORT"]), os.environ["COMPONENT_SECRET"]
    await refused("wrong", port, "not-authorized")
    ok("wrong-secret")
    bridge = Bridge(secret, port)
    bridge.connect()
    await soon(bridge.started.wait(), "the bridge connects")
    ok("connect")
    await refused(secret, port, "conflict")
    ok("second")
    ana = Slixmpp("ana", server)
    await ana.login("tls")
    await ana.roster()
    friend = f"friend@{IRC}"
    ana.text(friend, "<b>&amp;</b> Ünïcödé")
    sender, body, _ = await soon(ana.texts.get(), "an answer")
    assert (sender, body) == (friend, "you said <b>&amp;</b> Ünïcödé"), (sender, body)
    ok("chat")
    ana.presence(to=friend, kind="subscribe")
    await soon(subscribed(ana, friend), "the bridge answers")
    assert (await ana.roster())[friend] == "to"
    ok("subscribe")
    disco = ana.client.plugin["xep_0030"]
    items = await soon(disco.get_items(jid=server.domain), "items of the domain")
    assert IRC in [item[0] for item in items["disco_items"]["items"]], items
    info = await soon(disco.get_info(jid=IRC), "what the bridge is")
    assert ("gateway", "irc") in [one[:2] for one in info["disco_info"]["identities"]], info
    ok("discovery")
    assert await soon(bridge.plugin["xep_0199"].ping(server.domain, ifrom=IRC), "a ping") >= 0
    ok("ping")
    await bridge.disconnect()
    await soon(bridge.gone.wait(), "the bridge goes")
    await ana.logout()
    ok("logout")


async def subscribed(person, friend):
    """Waits for the presence that comes with the subscription."""
    while True:
        sender, kind, _ = await person.presences.get()
        if sender == f"{friend}/irc" and kind == "available":
            return


if __name__ == "__main__":
    asyncio.run(whole_story(arguments()))
