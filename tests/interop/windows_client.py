"""Gajim and Dino with their windows on a screen that nobody sees: ana and ben talk, the server is
killed and comes back, they go on. At the end there is a picture of it.

Both run in a mount namespace, as a user without rights: there the test's authority is the one that the
system trusts, and the domain has an address of loopback.
"""

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from profanity_client import Relay
from slixmpp_client import Slixmpp
from story import DOMAIN, PATIENCE, ok, please, run, soon
from together_client import befriend

DISPLAY = ":79"
# Where Dino looks, since it can be told of no other port.
ADDRESS = "127.0.0.79"
# Programs with windows begin slowly.
STARTS = 3 * PATIENCE

# The programs believe in what is mounted here.
INSIDE = """
mount --bind {home}/authority.pem /etc/ssl/certs/ca-certificates.crt
mount --bind {home}/hosts /etc/hosts
mount --bind {home}/resolv.conf /etc/resolv.conf
exec setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=-all -- "$@"
"""


class Screen:
    """A screen, a user's home and a message bus of its own."""

    def __init__(self, authority):
        self.home = tempfile.mkdtemp(prefix="calypte-windows-")
        self.running = []
        self.environment = {
            "HOME": self.home,
            "XDG_RUNTIME_DIR": f"{self.home}/run",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self.home}/run/bus",
            "DISPLAY": DISPLAY,
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "GDK_BACKEND": "x11",
            "GSK_RENDERER": "cairo",
            "NO_AT_BRIDGE": "1",
            "GTK_A11Y": "none",
        }
        shutil.copy(authority, f"{self.home}/authority.pem")
        os.mkdir(f"{self.home}/run", mode=0o700)
        self.write("hosts", f"127.0.0.1 localhost\n{ADDRESS} {DOMAIN}\n")
        self.write("resolv.conf", "nameserver 127.0.0.78\n")  # nobody, who says so at once

    def write(self, name, text):
        with open(f"{self.home}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, *command, inside=True):
        """Starts a program that runs until the end."""
        log = open(f"{self.home}/{os.path.basename(command[0])}.log", "ab")
        if inside:
            script = "set -e" + INSIDE.format(home=self.home)
            command = ["unshare", "-m", "bash", "-c", script, "-", *command]
        process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def owned(self):
        subprocess.run(["chown", "-R", "nobody:nogroup", self.home], check=True)

    def open(self):
        xvfb = ["Xvfb", DISPLAY, "-screen", "0", "1400x700x24", "-nolisten", "tcp"]
        self.start(*xvfb, inside=False)
        self.owned()
        address = self.environment["DBUS_SESSION_BUS_ADDRESS"]
        self.start("dbus-daemon", "--session", "--nofork", f"--address={address}")
        until_there(lambda: os.path.exists(f"{self.home}/run/bus"), "a message bus")
        until_there(lambda: self.xdotool("getdisplaygeometry"), "a screen")

    def xdotool(self, *words):
        command = ["xdotool", *words]
        ran = subprocess.run(command, env=self.environment, capture_output=True, text=True)
        return ran.stdout.strip() if ran.returncode == 0 else ""

    def window(self, program, left, width=700, height=700):
        """Waits for the largest window of a program and puts it to its place."""

        def largest():
            found = self.xdotool("search", "--onlyvisible", "--class", program).split()
            sizes = [(self.area(window), window) for window in found]
            return max(sizes, default=(0, None))[1]

        window = until_there(largest, f"a window of {program}")
        self.xdotool("windowsize", window, str(width), str(height))
        self.xdotool("windowmove", window, str(left), "0")
        return window

    def area(self, window):
        lines = self.xdotool("getwindowgeometry", "--shell", window).splitlines()
        values = dict(line.split("=") for line in lines if "=" in line)
        return int(values.get("WIDTH", 0)) * int(values.get("HEIGHT", 0))

    def types(self, window, at, text):
        """Clicks into a window and types a line."""
        self.clicks(window, at)
        self.xdotool("type", "--delay", "40", text)
        self.xdotool("key", "Return")

    def clicks(self, window, at):
        self.xdotool("windowfocus", window)
        self.xdotool("mousemove", "--window", window, *map(str, at), "click", "1")
        time.sleep(1)

    def picture(self, path):
        command = ["import", "-window", "root", path]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def close(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def until_there(look, what):
    until = time.monotonic() + STARTS
    while time.monotonic() < until:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {STARTS} s")


def gajim(screen, server):
    """Writes the settings of a Gajim that has an account, and starts it."""
    folder = f"{screen.home}/.config/gajim"
    os.makedirs(folder)
    account = {
        "name": "ana",
        "hostname": DOMAIN,
        "address": f"ana@{DOMAIN}",
        "account_label": "ana",
        "password": server.ana,
        "use_custom_host": True,
        "custom_host": ADDRESS,
        "custom_port": 5222,
        "custom_type": "START TLS",
        "active": True,
    }
    own = {"use_keyring": False, "check_for_update": False, "show_status_change_reasons": False}
    # Its own idea of an empty file.
    program = "from gajim.common.settings import CREATE_SQL; print(CREATE_SQL)"
    made = subprocess.run(
        ["/usr/bin/python3", "-c", program], env=screen.environment, check=True, capture_output=True, text=True
    )
    settings = sqlite3.connect(f"{folder}/settings.sqlite")
    settings.executescript(made.stdout)
    settings.execute("UPDATE settings SET settings = ? WHERE name = 'app'", (json.dumps(own),))
    value = {"account": account, "contact": {}, "group_chat": {}}
    settings.execute("INSERT INTO account_settings VALUES (?, ?)", ("ana", json.dumps(value)))
    settings.commit()
    settings.close()
    screen.owned()
    screen.start("gajim", "--separate")


def dino(screen, server):
    """Lets Dino lay its files, gives it an account, and starts it."""
    path = f"{screen.home}/.local/share/dino/dino.db"
    first = screen.start("dino-im")
    screen.window("dino", 700)
    first.terminate()
    first.wait(STARTS)
    account = (f"ben@{DOMAIN}", "dino", server.ben, "ben", 1)
    with sqlite3.connect(path) as database:
        database.execute(
            "INSERT INTO account (bare_jid, resourcepart, password, alias, enabled, mam_earliest_synced)"
            " VALUES (?, ?, ?, ?, ?, 0)",
            account,
        )
    screen.owned()
    screen.start("dino-im")


class Front(Relay):
    """The usual port, at an address that only this test has."""

    async def start(self, port):
        self.to, self.writers = port, []
        self.listener = await asyncio.start_server(self.accept, ADDRESS, 5222)

    def connections(self):
        """Returns how many there ever were."""
        return len(self.writers) // 2


async def aside(call, *arguments):
    return await asyncio.get_running_loop().run_in_executor(None, call, *arguments)


async def says(screen, window, at, text, own, other):
    """Types a line; another device of the same person and one of the other see it."""
    await aside(screen.types, window, at, text)
    await soon(arrives(other.texts, lambda got: got[1] == text), f"{other.name} reads {text!r}")
    await soon(arrives(own.copies, lambda got: got[3] == text), f"{own.name} has a copy of {text!r}")


async def arrives(queue, is_it):
    while not is_it(await queue.get()):
        pass


async def there(person, resource):
    """Waits for the presence of a device."""
    while True:
        sender, kind, _ = await asyncio.wait_for(person.presences.get(), STARTS)
        if resource in sender and kind == "available":
            return


async def whole_story(server):
    ana, ben = Slixmpp("ana", server), Slixmpp("ben", server)
    front, screen = Front(), Screen(server.ca)
    # Next to what `setup` installed.
    picture = os.path.join(os.path.dirname(sys.prefix), "windows.png")
    try:
        await front.start(server.starttls)
        for person in (ana, ben):
            await person.login("tls")
            await person.roster()
            await person.shares()
        await befriend(ana, ben)
        await aside(screen.open)
        await aside(gajim, screen, server)
        await there(ben, "ana@chat.example/gajim")
        await aside(dino, screen, server)
        await there(ana, "ben@chat.example/dino")
        ok("login")
        left = await aside(screen.window, "gajim", 0)
        right = await aside(screen.window, "dino", 700)
        # A chat opens in Dino by its address, in Gajim by what came.
        screen.start("dino-im", f"xmpp:ana@{DOMAIN}?message")
        ben.text(ana.jid, "Hello from the phone")
        await ana.reads(ben.jid, "Hello from the phone")
        await asyncio.sleep(5)
        await aside(screen.clicks, left, (240, 165))
        await asyncio.sleep(3)
        await says(screen, left, (540, 677), "Hello from Gajim", ana, ben)
        await says(screen, right, (540, 665), "Hello from Dino", ben, ana)
        ok("chat")
        for person in (ana, ben):
            person.will_break()
        before = front.connections()
        await please("kill")
        await asyncio.gather(ana.resume(), ben.resume())
        while front.connections() < before + 2:
            await asyncio.sleep(0.2)
        await asyncio.sleep(8)
        await says(screen, left, (540, 677), "Gajim is back", ana, ben)
        await says(screen, right, (540, 665), "Dino is back", ben, ana)
        ok("reconnect")
        await aside(screen.picture, picture)
        ok("picture")
    finally:
        screen.picture(picture)
        screen.close()


if __name__ == "__main__":
    run(whole_story)
