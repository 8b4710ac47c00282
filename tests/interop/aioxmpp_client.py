"""aioxmpp, as somebody writes a client with it. It reconnects and resumes by itself."""

import asyncio
import socket
import warnings
from datetime import timedelta

warnings.simplefilter("ignore")  # what its dependencies say of each other is not our matter

import aioopenssl
import aioxmpp
import aioxmpp.connector
import aioxmpp.dispatcher
import aioxmpp.node

from story import Person, soon, tell

# How its parts say that somebody is there, away or gone.
TYPES = aioxmpp.PresenceType
SHOWS = {aioxmpp.PresenceShow.AWAY: "away", aioxmpp.PresenceShow.DND: "dnd"}
CONNECTORS = {
    "starttls": aioxmpp.connector.STARTTLSConnector,
    "tls": aioxmpp.connector.XMPPOverTLSConnector,
}


async def nowhere(domain, loop=None, logger=None):
    """Stands for the DNS, which does not know the domain of the test."""
    return []


aioxmpp.node.discover_connectors = nowhere


def write(transport, data, write=aioopenssl.STARTTLSTransport.write):
    """Says of a connection that is gone what aioxmpp understands, or its client ends for good."""
    try:
        write(transport, data)
    except RuntimeError as error:
        raise ConnectionResetError(str(error)) from error


aioopenssl.STARTTLSTransport.write = write


class Aioxmpp(Person):
    resends_in_order = False  # it puts them back in front of its queue one by one

    def __init__(self, name, server):
        super().__init__(name, server)
        self.client = None

    async def login(self, transport):
        self.client = aioxmpp.Client(
            aioxmpp.JID.fromstr(self.jid),
            aioxmpp.make_security_layer(self.password, ssl_context_factory=self.context),
            override_peer=[("127.0.0.1", self.port(transport), CONNECTORS[transport]())],
            max_initial_attempts=1,
        )
        self.client.backoff_start = timedelta(seconds=0.2)
        outcome = asyncio.get_running_loop().create_future()
        established, failure = self.client.on_stream_established, self.client.on_failure
        established.connect(lambda: settle(outcome, None))
        failure.connect(lambda error: settle(outcome, error))
        self.client.on_stream_destroyed.connect(self.on_destroyed)
        self.client.on_stream_resumed.connect(self.resumed.set)
        self.is_leaving = False
        self.listen()
        self.client.start()
        error = await soon(outcome, f"{self.name} logs in over {transport}")
        if error:
            raise error
        self.presence()

    def context(self):
        context = aioxmpp.security_layer.default_ssl_context()
        context.load_verify_locations(self.authority)
        return context

    def port(self, transport):
        return self.server.tls if transport == "tls" else self.server.starttls

    def listen(self):
        messages = self.client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher)
        messages.register_callback(aioxmpp.MessageType.CHAT, None, self.on_message)
        presences = self.client.summon(aioxmpp.dispatcher.SimplePresenceDispatcher)
        for kind in TYPES:
            presences.register_callback(kind, None, self.on_presence)

    async def logout(self):
        self.is_leaving = True
        stopped = asyncio.Event()
        self.client.on_stopped.connect(stopped.set)
        if self.client.running:
            self.client.stop()
            await soon(stopped.wait(), f"{self.name} logs out")

    async def roster(self):
        request = aioxmpp.IQ(type_=aioxmpp.IQType.GET, payload=aioxmpp.roster.xso.Query())
        answer = await soon(self.client.send(request), f"{self.name} gets the roster")
        return {str(item.jid): item.subscription for item in answer.items}

    def presence(self, to=None, kind=None, show=None, status=None):
        presence = aioxmpp.Presence(type_=TYPES(kind))
        if to:
            presence.to = aioxmpp.JID.fromstr(to)
        if show:
            presence.show = aioxmpp.PresenceShow(show)
        if status:
            presence.status[None] = status
        self.client.enqueue(presence)

    def text(self, to, body):
        message = aioxmpp.Message(type_=aioxmpp.MessageType.CHAT, to=aioxmpp.JID.fromstr(to))
        message.body[None] = body
        self.last = self.client.enqueue(message)

    async def written(self):
        # It forgets all but the first text that it could not write to a connection that is gone.
        while self.last.state == aioxmpp.stream.StanzaState.ACTIVE:
            await asyncio.sleep(0.001)

    def cut(self):
        transport = self.client.stream._xmlstream.transport
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def resume(self):
        # `on_destroyed` shows when it was not the same session.
        await soon(self.resumed.wait(), f"{self.name} resumes")

    def on_destroyed(self, reason=None):
        if not self.is_leaving:
            self.texts.put_nowait(("nobody", f"a new session: {reason}", False))

    def on_message(self, message):
        delayed = bool(message.xep0203_delay)
        self.texts.put_nowait((str(message.from_), message.body.any(), delayed))

    def on_presence(self, presence):
        kind = presence.type_.value or SHOWS.get(presence.show, "available")
        status = presence.status.any() if presence.status else ""
        self.presences.put_nowait((str(presence.from_), kind, status))


def settle(future, value):
    if not future.done():
        future.set_result(value)


if __name__ == "__main__":
    tell(Aioxmpp)
