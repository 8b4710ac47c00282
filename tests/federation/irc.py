"""biboumi (XEP-0114) beside our server, and a channel of ngircd: people of two servers and of IRC in it."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from people import Slix, run, until
from story import PATIENCE, ok, soon

CHANNEL = "#garden"
COMMANDS = "http://jabber.org/protocol/commands"

NGIRCD = """
[Global]
Name = irc.example
Info = IRC of the test
Listen = 127.0.0.1
Ports = 6667
[Limits]
MaxConnectionsIP = 0
[Options]
DNS = no
Ident = no
PAM = no
"""

BIBOUMI = """
hostname={domain}
password={secret}
xmpp_server_ip=127.0.0.1
port={port}
db_name={folder}/biboumi.sqlite
identd_port=0
log_level=0
"""


class Slim(Slix):
    """Without names of messages, which biboumi does not always have."""

    def on_said(self, message):
        self.said.append((message["from"].resource, message["body"]))

    def equip(self, client):
        super().equip(client)
        client.register_plugin("xep_0050")


class Irc:
    """A client of IRC."""

    async def enter(self, nick):
        self.nick = nick
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", 6667)
        self.says(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        await self.hears(" 001 ")
        self.says(f"JOIN {CHANNEL}")
        await self.hears(" 366 ")

    def says(self, *lines):
        for line in lines:
            self.writer.write(f"{line}\r\n".encode())

    async def hears(self, *parts):
        """Waits for a line with all these parts."""
        while True:
            line = await soon(self.reader.readline(), f"IRC hears {parts}")
            assert line, f"the connection ended before {parts}"
            line = line.decode().rstrip()
            if line.startswith("PING"):
                self.says(line.replace("PING", "PONG", 1))
            elif all(part in line for part in parts):
                return line


@contextlib.contextmanager
def running(folder, program, *arguments):
    """A program that ends with this. What it wrote is shown when that is not well."""
    log = Path(folder) / f"{program}.log"
    with log.open("wb") as output:
        child = subprocess.Popen([program, *arguments], stdout=output, stderr=output)
    try:
        yield child
        assert child.poll() is None, f"{program} ended by itself"
    except BaseException:
        print(log.read_text(errors="replace")[-20_000:], file=sys.stderr)
        raise
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE)
        finally:
            child.kill()


async def answers(ask):
    """Asks again until there is an answer that is no error."""
    for _ in range(PATIENCE * 10):
        try:
            return await ask()
        except Exception:  # nobody is there yet
            await asyncio.sleep(0.1)
    return await ask()


async def discovery(ana, gateway):
    disco = ana.client.plugin["xep_0030"]
    info = await answers(lambda: disco.get_info(jid=gateway))
    kinds = [each[:2] for each in info["disco_info"]["identities"]]
    assert ("conference", "irc") in kinds, info
    items = await soon(disco.get_items(jid=gateway, node=COMMANDS), "the commands of biboumi")
    nodes = [item[1] for item in items["disco_items"]["items"]]
    assert "ping" in nodes and "hello" in nodes, items
    ok("discovery")
    commands = ana.client.plugin["xep_0050"]
    said = await soon(commands.send_command(gateway, "ping"), "a command")
    assert said["command"]["status"] == "completed" and "Pong" in str(said), said
    # One with a form, that goes on.
    said = await soon(commands.send_command(gateway, "hello"), "a command with a form")
    assert said["command"]["status"] == "executing", said
    form = said["command"]["form"]
    form["type"] = "submit"
    form.get_fields()["name"]["value"] = "Ana"
    session = said["command"]["sessionid"]
    answer = commands.send_command(gateway, "hello", action="next", payload=form, sessionid=session)
    said = await soon(answer, "the end of a command")
    assert said["command"]["status"] == "completed" and "Hello Ana!" in str(said), said
    ok("commands")


async def channel(ana, carl, gateway):
    dan = Irc()
    await dan.enter("dan")
    room = f"{CHANNEL}%127.0.0.1@{gateway}"
    everybody = {"dan", "Ana", "Carl"}
    for person in (ana, carl):
        await person.enter(room, person.name.title())
        await dan.hears(f":{person.nick}!", "JOIN", CHANNEL)
    for person in (ana, carl):
        await until(lambda: set(person.occupants()) == everybody, person.occupants)
    ok("enter")
    said = []
    for number in range(2):
        for speaker in (ana, carl, dan):
            text = f"{speaker.nick} says {number}, \"é\" & <b>"
            said.append((speaker.nick, text))
            if speaker is dan:
                dan.says(f"PRIVMSG {CHANNEL} :{text}")
            else:
                speaker.say(text)
                await dan.hears(f":{speaker.nick}!", f"PRIVMSG {CHANNEL} :{text}")
            # Each has a connection of its own to IRC, so what is said at the same time has no order.
            for person in (ana, carl):
                await until(lambda: person.said == said, lambda: person.said)
    ok("talk")
    for person in (ana, carl):
        person.text(f"{room}/dan", f"{person.name} alone")
        await dan.hears(f":{person.nick}!", f"PRIVMSG dan :{person.name} alone")
        dan.says(f"PRIVMSG {person.nick} :dan alone")
        # The server of IRC has much to say as well.
        sender = f"127.0.0.1@{gateway}"
        while sender == f"127.0.0.1@{gateway}":
            sender, text, _ = await soon(person.texts.get(), "what dan says to one alone")
        assert (sender, text) == (f"{room}/dan", "dan alone"), (sender, text)
    ok("private")
    await ana.rename("Anna")
    await dan.hears(":Ana!", "NICK", "Anna")
    dan.says(f"TOPIC {CHANNEL} :Of gardens")
    for person in (ana, carl):
        await until(lambda: person.subject == "Of gardens", lambda: person.subject)
        await until(lambda: set(person.occupants()) == {"dan", "Anna", "Carl"}, person.occupants)
    ok("names")
    await ana.leave()
    await dan.hears(":Anna!")
    await until(lambda: set(carl.occupants()) == {"dan", "Carl"}, carl.occupants)
    dan.says("QUIT :It is late")
    await until(lambda: set(carl.occupants()) == {"Carl"}, carl.occupants)
    await carl.leave()
    ok("leave")


async def irc(ours, theirs):
    gateway = f"irc.{ours.domain}"
    ana, carl = Slim("ana", ours), Slim("carl", theirs)
    for person in (ana, carl):
        await person.login("tls")
    with tempfile.TemporaryDirectory() as folder:
        ngircd, biboumi = Path(folder) / "ngircd.conf", Path(folder) / "biboumi.cfg"
        ngircd.write_text(NGIRCD)
        port, secret = os.environ["COMPONENT_PORT"], os.environ["COMPONENT_SECRET"]
        biboumi.write_text(
            BIBOUMI.format(domain=gateway, secret=secret, port=port, folder=folder)
        )
        # It gives up root and still reads its file.
        os.chmod(folder, 0o755)
        with running(folder, "ngircd", "-n", "-f", str(ngircd)):
            with running(folder, "biboumi", str(biboumi)):
                await discovery(ana, gateway)
                await channel(ana, carl, gateway)
    for person in (ana, carl):
        await person.logout()
    ok("logout")


if __name__ == "__main__":
    run({"irc": irc})
