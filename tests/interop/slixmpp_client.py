"""slixmpp, as somebody writes a client with it."""

import asyncio

import slixmpp

from story import Person, soon, tell


class Slixmpp(Person):
    knows_devices = True
    # "" lets the server choose.
    resource = ""

    def __init__(self, name, server):
        super().__init__(name, server)
        self.client = None

    async def login(self, transport):
        client = self.client = slixmpp.ClientXMPP(self.jid + self.resource, self.password)
        client.ca_certs = self.authority
        client.enable_plaintext = False
        client.enable_direct_tls = transport == "tls"
        client.enable_starttls = transport == "starttls"
        client.auto_authorize = None  # people answer by themselves
        client.auto_subscribe = False
        client.register_plugin("xep_0198")
        client.register_plugin("xep_0203")
        client.register_plugin("xep_0280")
        client.register_plugin("xep_0313")
        client.register_plugin("xep_0359")
        self.equip(client)
        client.add_event_handler("carbon_sent", lambda copy: self.on_copy("sent", copy))
        client.add_event_handler("carbon_received", lambda copy: self.on_copy("received", copy))
        client.add_event_handler("message", self.on_message)
        client.add_event_handler("presence", self.on_presence)
        client.add_event_handler("disconnected", lambda _: self.lost.set())
        client.add_event_handler("session_resumed", lambda _: self.resumed.set())
        self.port = server_port(self.server, transport)
        outcome = asyncio.get_running_loop().create_future()
        for event in ("session_start", "failed_auth", "ssl_invalid_chain", "connection_failed"):
            client.add_event_handler(event, lambda data, event=event: settle(outcome, event, data))
        client.connect(self.server.address, self.port)
        event, data = await soon(outcome, f"{self.name} logs in over {transport}")
        if event != "session_start":
            raise ConnectionError(f"{event}: {data}")
        mechanism = client.plugin["feature_mechanisms"].mech.name
        assert mechanism.startswith("SCRAM-"), mechanism
        client.send_presence()

    def equip(self, client):
        """Adds what a client of another kind has."""

    async def logout(self):
        self.client.cancel_connection_attempt()
        if self.client.is_connected():
            # What is not acknowledged would come again at the next login; it does not say it itself.
            self.client.plugin["xep_0198"].send_ack()
            await self.client.disconnect()

    async def roster(self):
        answer = asyncio.get_running_loop().create_future()
        self.client.get_roster(callback=lambda iq: settle(answer, iq))
        (iq,) = await soon(answer, f"{self.name} gets the roster")
        assert iq["type"] == "result", iq
        items = iq["roster"]["items"] if iq.get_plugin("roster", check=True) else {}
        # An answer without items says that what is known is current (RFC 6121 §2.6.3).
        if not items:
            known = self.client.client_roster
            items = {jid: known[jid] for jid in known.keys() if jid != self.jid}
        return {str(jid): item["subscription"] for jid, item in items.items()}

    def presence(self, to=None, kind=None, show=None, status=None):
        self.client.send_presence(pto=to, ptype=kind, pshow=show, pstatus=status)

    def text(self, to, body):
        self.client.send_message(mto=to, mbody=body, mtype="chat")

    async def shares(self):
        await soon(self.client.plugin["xep_0280"].enable(), f"{self.name} asks for copies")

    def here(self):
        return self.client.boundjid.full

    async def history(self, other):
        found = []
        pages = self.client.plugin["xep_0313"].iterate(with_jid=other, rsm={"max": 3})
        async for result in pages:
            message = result["mam_result"]["forwarded"]["stanza"]
            found.append((str(message["from"]), message["body"], result["mam_result"]["id"]))
        return found

    def cut(self):
        self.client.transport.abort()

    async def resume(self):
        await soon(self.lost.wait(), f"{self.name} notices the broken connection")
        before = self.client.plugin["xep_0198"].sm_id
        self.client.connect(self.server.address, self.port)
        await soon(self.resumed.wait(), f"{self.name} resumes")
        assert self.client.plugin["xep_0198"].sm_id == before

    def on_message(self, message):
        self.names[message["body"]] = message["stanza_id"]["id"]
        delayed = message.get_plugin("delay", check=True) is not None
        self.texts.put_nowait((str(message["from"]), message["body"], delayed))

    def on_copy(self, way, copy):
        message = copy[f"carbon_{way}"]
        self.names[message["body"]] = message["stanza_id"]["id"]
        where = (str(message["from"]), str(message["to"]))
        self.copies.put_nowait((way, *where, message["body"]))

    def on_presence(self, presence):
        sender = str(presence["from"])
        self.presences.put_nowait((sender, presence["type"], presence["status"]))


def server_port(server, transport):
    return server.tls if transport == "tls" else server.starttls


def settle(future, *values):
    if not future.done():
        future.set_result(values)


if __name__ == "__main__":
    tell(Slixmpp)
