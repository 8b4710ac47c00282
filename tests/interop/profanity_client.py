"""Profanity, driven as a person does: keys in, a screen out. slixmpp plays ben."""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time

from slixmpp_client import Slixmpp
from story import PATIENCE, arguments, ok, please

# Wide enough that no line of the test is broken.
WIDTH, HEIGHT = 160, 50


class Profanity:
    """One Profanity in a tmux and a home of its own."""

    def __init__(self, authority=None):
        self.home = tempfile.mkdtemp(prefix="calypte-profanity-")
        self.socket = os.path.join(self.home, "tmux")
        environment = {
            "HOME": self.home,
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
        }
        size = ["-x", str(WIDTH), "-y", str(HEIGHT)]
        self.tmux("-f", "/dev/null", "new-session", "-d", *size, "profanity", env=environment)
        self.shows("Type '/help'")
        for setting in ("/splash off", "/notify off", "/roster hide", "/reconnect 1", "/autoaway mode off"):
            self.types(setting)
        if authority:
            self.types(f"/tls certpath set {self.hashed(authority)}")

    def hashed(self, authority):
        """Returns a folder with the authority as OpenSSL looks for it."""
        folder = os.path.join(self.home, "authorities")
        os.mkdir(folder)
        shutil.copy(authority, os.path.join(folder, "authority.pem"))
        subprocess.run(["openssl", "rehash", folder], check=True)
        return folder

    def tmux(self, *words, env=None):
        command = ["tmux", "-S", self.socket, *words]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    def types(self, line):
        self.tmux("send-keys", "-l", line)
        self.tmux("send-keys", "Enter")
        time.sleep(0.2)  # as fast as nobody types

    def screen(self):
        return self.tmux("capture-pane", "-p")

    def shows(self, *texts):
        """Waits until the screen shows these texts, in this order."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if in_order(self.screen(), texts):
                return
            time.sleep(0.1)
        raise AssertionError(f"Profanity does not show {texts}:\n{self.screen()}")

    def count(self, text):
        return self.screen().count(text)

    def close(self):
        """Ends it, whatever it does."""
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)

    def connect(self, jid, port, policy, password):
        self.types(f"/connect {jid} server 127.0.0.1 port {port} tls {policy}")
        self.types(password)


def in_order(screen, texts):
    at = 0
    for text in texts:
        at = screen.find(text, at)
        if at < 0:
            return False
        at += len(text)
    return True


async def aside(call, *arguments):
    """Waits for Profanity while ben's client goes on."""
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


class Relay:
    """Stands for the network between Profanity and the server: it can be cut."""

    async def start(self, port):
        self.to = port
        self.writers = []
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", 0)
        return self.listener.sockets[0].getsockname()[1]

    async def accept(self, reader, writer):
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.to)
        except OSError:
            writer.close()
            return
        self.writers += [writer, there_writer]
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    def cut(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


def refusals(server):
    jid = f"ana@{server.domain}"
    for port, policy in ((server.starttls, "force"), (server.tls, "legacy")):
        stranger = Profanity(server.wrong_ca)
        try:
            stranger.connect(jid, port, policy, server.ana)
            stranger.shows("TLS certificate verification failed")
        finally:
            stranger.close()
    ok("foreign-certificate")
    stranger = Profanity(server.ca)
    try:
        stranger.connect(jid, server.starttls, "force", "wrong")
        stranger.shows("Login failed")
    finally:
        stranger.close()
    ok("wrong-password")


async def contacts(ana, ben):
    await aside(ana.types, "/roster")
    await aside(ana.shows, "Roster: ")
    assert not await aside(ana.count, ben.jid)
    # Who has not asked for the roster is not told of changes (RFC 6121 §3.1.6).
    assert await ben.roster() == {}
    ok("roster")
    await aside(ana.types, f"/roster add {ben.jid}")
    await aside(ana.shows, f"Roster item added: {ben.jid}")
    await aside(ana.types, f"/sub request {ben.jid}")
    await ben.sees(ben.other, "subscribe")
    ben.presence(to=ben.other, kind="subscribed")
    ben.presence(to=ben.other, kind="subscribe")
    await aside(ana.shows, f"Received authorization request from {ben.jid}")
    await aside(ana.types, f"/sub allow {ben.jid}")
    await ben.sees(ben.other, "subscribed")
    await ben.sees(ben.other, "available")
    assert await ben.roster() == {ben.other: "both"}
    await aside(ana.types, "/roster")
    await aside(ana.shows, ben.jid, "both")
    ok("subscribe")
    await aside(ana.types, "/status set away Lunch")
    await ben.sees(ben.other, "away", "Lunch")
    ben.presence(show="dnd", status="Writing tests")
    await aside(ana.shows, ben.jid, "Writing tests")
    await aside(ana.types, "/status set online")
    await ben.sees(ben.other, "available")
    ok("presence")


async def chat(ana, ben):
    await aside(ana.types, f"/msg {ben.jid} Hello Ben, <b>&amp;</b> ünïcödé")
    await ben.reads(ben.other, "Hello Ben, <b>&amp;</b> ünïcödé")
    ben.text(ben.other, "Hello Ana, <i>&lt;</i> 'quoted'")
    ben.text(ben.other, "second")
    await aside(ana.shows, "Hello Ana, <i>&lt;</i> 'quoted'", "second")
    ok("chat")

    await ben.logout()
    await aside(ana.types, "left for you")
    await aside(ana.types, "and this")
    await asyncio.sleep(1)
    await ben.login("tls")
    assert await ben.reads(ben.other, "left for you", "and this") == [True, True]
    await aside(ana.types, "/disconnect")
    await ben.sees(ben.other, "unavailable")
    for number in range(3):
        ben.text(ben.other, f"offline {number}")
    await ben.roster()  # its answer says that the server has them


async def whole_story(server):
    await aside(refusals, server)
    relay = Relay()
    port = await relay.start(server.starttls)
    ana, ben = await aside(Profanity, server.ca), Slixmpp("ben", server)
    jid = ben.other = f"ana@{server.domain}"
    try:
        await ben.login("tls")
        await aside(ana.connect, jid, port, "force", server.ana)
        await aside(ana.shows, f"{jid}/", "logged in successfully")
        ok("login-starttls")
        await contacts(ana, ben)
        await chat(ana, ben)
        await aside(ana.connect, jid, port, "force", server.ana)
        await ben.sees(jid, "available")
        await aside(ana.types, f"/msg {ben.jid}")
        await aside(ana.shows, "offline 0", "offline 1", "offline 2")
        ok("offline")
        await cut(ana, ben, relay)
        await kill(ana, ben)
        await aside(ana.types, "/disconnect")
        await ben.sees(jid, "unavailable")
        await aside(ana.connect, jid, server.tls, "legacy", server.ana)
        await ben.sees(jid, "available")
        ben.text(jid, "over direct TLS")
        await aside(ana.types, f"/msg {ben.jid}")
        await aside(ana.shows, "over direct TLS")
        ok("login-tls")
        await aside(ana.types, "/quit")
        await ben.sees(jid, "unavailable")
        await ben.logout()
        ok("logout")
    except AssertionError:
        print(ana.screen(), file=sys.stderr)
        raise
    finally:
        ana.close()


async def cut(ana, ben, relay):
    """The network breaks; Profanity comes back to its session, and ben does not see it leave."""
    while not ben.presences.empty():
        ben.presences.get_nowait()
    relay.cut()
    ben.text(ben.other, "while cut")
    await aside(ana.shows, "Lost connection", "Connection re-established")
    await aside(ana.shows, "while cut")
    await aside(ana.types, "after the cut")
    await ben.reads(ben.other, "after the cut")
    # It says once more that it is there, and was never gone.
    while not ben.presences.empty():
        assert (await ben.presences.get())[1] == "available"
    ok("resume-after-cut")


async def kill(ana, ben):
    """The server is killed; both come back to their sessions with the next one."""
    ben.will_break()
    await please("kill")
    await ben.resume()
    ben.text(ben.other, "after the kill")
    await aside(ana.shows, "Connection re-established", "after the kill")
    await aside(ana.types, "I am here again")
    await ben.reads(ben.other, "I am here again")
    for text in ("while cut", "after the kill"):
        assert await aside(ana.count, text) == 1, text
    ok("resume-after-kill")


if __name__ == "__main__":
    server = arguments()
    logging.basicConfig(level=logging.DEBUG if server.verbose else logging.CRITICAL)
    asyncio.run(asyncio.wait_for(whole_story(server), 300))
