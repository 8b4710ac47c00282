"""aioxmpp, as somebody writes a client with it. It reconnects and resumes by itself."""

import asyncio
import socket
import warnings
from datetime import timedelta

warnings.simplefilter("ignore")  # what its dependencies say of each other is not our matter

import aioopenssl
import aioxmpp
import aioxmpp.carbons
import aioxmpp.connector
import aioxmpp.dispatcher
import aioxmpp.forms
import aioxmpp.misc
import aioxmpp.node
import aioxmpp.rsm.xso

from story import Person, ok, soon, tell

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


# It has no archive of its own: XEP-0313 with its parts, as its author would write it.
MAM = "urn:xmpp:mam:2"


@aioxmpp.IQ.as_payload_class
class Query(aioxmpp.xso.XSO):
    TAG = (MAM, "query")
    id = aioxmpp.xso.Attr("queryid", default=None)
    form = aioxmpp.xso.Child([aioxmpp.forms.Data])
    page = aioxmpp.xso.Child([aioxmpp.rsm.xso.ResultSetMetadata])


@aioxmpp.IQ.as_payload_class
class Fin(aioxmpp.xso.XSO):
    TAG = (MAM, "fin")
    is_complete = aioxmpp.xso.Attr("complete", type_=aioxmpp.xso.Bool(), default=False)
    page = aioxmpp.xso.Child([aioxmpp.rsm.xso.ResultSetMetadata])


class Result(aioxmpp.xso.XSO):
    TAG = (MAM, "result")
    id = aioxmpp.xso.Attr("id")
    query = aioxmpp.xso.Attr("queryid", default=None)
    forwarded = aioxmpp.xso.Child([aioxmpp.misc.Forwarded])


aioxmpp.Message.mam_result = aioxmpp.xso.Child([Result])


class Filter(aioxmpp.forms.Form):
    FORM_TYPE = MAM
    other = aioxmpp.forms.JIDSingle(var="with")


class Aioxmpp(Person):
    knows_devices = True
    resends_in_order = False  # it puts them back in front of its queue one by one

    def __init__(self, name, server):
        super().__init__(name, server)
        self.client = None
        self.found = []  # of the archive, in this query

    async def login(self, transport):
        self.client = aioxmpp.Client(
            aioxmpp.JID.fromstr(self.jid),
            aioxmpp.make_security_layer(self.password, ssl_context_factory=self.context),
            override_peer=[(self.server.address, self.port(transport), CONNECTORS[transport]())],
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
        for kind in aioxmpp.MessageType:
            messages.register_callback(kind, None, self.on_message)
        self.carbons = self.client.summon(aioxmpp.CarbonsClient)
        self.blocking = self.client.summon(aioxmpp.BlockingClient)
        self.contacts = self.client.summon(aioxmpp.RosterClient)
        presences = self.client.summon(aioxmpp.dispatcher.SimplePresenceDispatcher)
        for kind in TYPES:
            # These come from the roster, which takes them.
            if taken := getattr(self.contacts, f"on_{kind.value}", None):
                taken.connect(self.on_presence)
            else:
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

    async def shares(self):
        await soon(self.carbons.enable(), f"{self.name} asks for copies")

    def here(self):
        return str(self.client.local_jid)

    async def history(self, other):
        self.found = []
        page = aioxmpp.rsm.xso.ResultSetMetadata().limit(3)
        while True:
            form = Filter()
            form.other.value = aioxmpp.JID.fromstr(other)
            query = Query()
            query.form, query.page = form.render_request(), page
            query.form.type_ = aioxmpp.forms.DataType.SUBMIT
            request = aioxmpp.IQ(type_=aioxmpp.IQType.SET, payload=query)
            fin = await soon(self.client.send(request), f"{self.name} reads a page")
            if fin.is_complete:
                return self.found
            page = fin.page.next_page(max_=3)

    async def also(self, phone, ben):
        """A contact is renamed and somebody is blocked on one device; the other hears of it."""
        heard = asyncio.Queue()

        def hears(signal):
            # Keeps the connection: what returns true is forgotten.
            signal.connect(lambda *told: heard.put_nowait(told))

        jid = aioxmpp.JID.fromstr(ben.jid)
        hears(self.contacts.on_entry_name_changed)
        hears(self.contacts.on_entry_added_to_group)
        await soon(
            phone.contacts.set_entry(jid, name="Benny", add_to_groups={"Friends"}), "a new name"
        )
        for _ in range(2):
            await soon(heard.get(), "the other device hears of the name and of the group")
        assert self.contacts.items[jid].name == "Benny", self.contacts.items[jid]
        assert set(self.contacts.items[jid].groups) == {"Friends"}, self.contacts.items[jid]
        ok("roster-push")

        hears(self.blocking.on_jids_blocked)
        hears(self.blocking.on_jids_unblocked)
        await soon(phone.blocking.block_jids([jid]), "ben is blocked")
        assert await soon(heard.get(), "the other device hears of it") == (frozenset([jid]),)
        assert self.blocking.blocklist == frozenset([jid]), self.blocking.blocklist
        for _ in range(2):
            await ben.sees(self.jid, "unavailable")
        ben.text(self.jid, "into the void")
        await ben.roster()  # its answer says that the server had that
        await soon(phone.blocking.unblock_jids([jid]), "ben is let in again")
        assert await soon(heard.get(), "the other device hears of it") == (frozenset([jid]),)
        for _ in range(2):
            await ben.sees(self.jid, "available")
        ben.text(self.here(), "let in again")
        await self.reads(ben.jid, "let in again")
        ok("blocking")

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
        if result := message.mam_result:
            stanza = result.forwarded.stanza
            self.found.append((str(stanza.from_), stanza.body.any(), result.id))
        elif copy := message.xep0280_sent or message.xep0280_received:
            stanza = copy.stanza
            way = "sent" if message.xep0280_sent else "received"
            self.copies.put_nowait((way, str(stanza.from_), str(stanza.to), stanza.body.any()))
            self.note(stanza)
        elif message.type_ == aioxmpp.MessageType.CHAT:
            delayed = bool(message.xep0203_delay)
            self.texts.put_nowait((str(message.from_), message.body.any(), delayed))
            self.note(message)

    def note(self, message):
        own = [each.id_ for each in message.xep0359_stanza_ids if str(each.by) == self.jid]
        self.names[message.body.any()] = own[0] if own else None

    def on_presence(self, presence):
        kind = presence.type_.value or SHOWS.get(presence.show, "available")
        status = presence.status.any() if presence.status else ""
        self.presences.put_nowait((str(presence.from_), kind, status))


def settle(future, value):
    if not future.done():
        future.set_result(value)


if __name__ == "__main__":
    tell(Aioxmpp)
