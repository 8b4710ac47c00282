"""Somebody makes an account with slixmpp and an invitation of the operator (XEP-0445, XEP-0379)."""

import asyncio
import os
from xml.etree.ElementTree import Element

from slixmpp_client import Slixmpp
from story import DOMAIN, arguments, ok, soon


class Newcomer(Slixmpp):
    """Shows its token and registers before it logs in."""

    def __init__(self, name, server, token):
        server.__dict__[name] = f"the {name} of slixmpp"
        super().__init__(name, server)
        self.token = token
        self.registered = asyncio.get_running_loop().create_future()

    def equip(self, client):
        for plugin in ("xep_0004", "xep_0030", "xep_0066", "xep_0077"):
            client.register_plugin(plugin)
        registration = client.plugin["xep_0077"]
        registration.force_registration = True
        ask = registration.get_registration

        async def ask_invited():
            # It asks what it has to fill in, and without the token nobody is told.
            show = client.make_iq_set(ito=DOMAIN)
            show.append(Element("{urn:xmpp:pars:0}preauth", token=self.token))
            # Before there is a session the library holds back what it does not know. Answers come in
            # order, so the next one says whether the token was good.
            client.send_raw(str(show))
            return await ask()

        registration.get_registration = ask_invited
        client.add_event_handler("register", self.register)

    async def register(self, _):
        try:
            wish = self.client.make_iq_set(ito=DOMAIN)
            wish["register"]["username"] = self.name
            wish["register"]["password"] = self.password
            await wish.send()
            self.registered.set_result(None)
        except Exception as error:
            self.registered.set_exception(error)


async def whole_story(server):
    ana = Slixmpp("ana", server)
    await ana.login("tls")
    assert await ana.roster() == {}
    ok("login")
    carl = Newcomer("carl", server, os.environ["INVITATION"])
    await carl.login("starttls")
    await soon(carl.registered, "carl registers")
    ok("register")
    # Both have each other, and nobody was asked.
    assert await carl.roster() == {f"ana@{DOMAIN}": "both"}
    await soon(sees(ana, "carl"), "ana sees carl")
    assert await ana.roster() == {f"carl@{DOMAIN}": "both"}
    await soon(sees(carl, "ana"), "carl sees ana")
    ok("contacts")
    carl.text(f"ana@{DOMAIN}", "Thank you")
    sender, body, _ = await soon(ana.texts.get(), "a message")
    assert sender.startswith(f"carl@{DOMAIN}/") and body == "Thank you", (sender, body)
    ok("chat")
    await carl.logout()
    await ana.logout()
    ok("logout")


async def sees(person, other):
    """Waits for presence of the other."""
    while True:
        sender, kind, _ = await person.presences.get()
        if sender.startswith(f"{other}@{DOMAIN}/") and kind == "available":
            return


if __name__ == "__main__":
    asyncio.run(whole_story(arguments()))
