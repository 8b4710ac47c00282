"""`calypte dev` as a newcomer meets it: what it prints is pasted, and Ctrl-C leaves nothing."""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from types import SimpleNamespace

from profanity_client import Profanity
from slixmpp_client import Slixmpp
from story import PATIENCE, ok


def greeting(server):
    """Reads what `dev` prints, up to its last line."""
    lines = []
    for line in server.stdout:
        lines.append(line)
        if line == "END\n":
            return "".join(lines)
    raise AssertionError("it ended:\n" + "".join(lines))


def found(pattern, text):
    match = re.search(pattern, text, re.MULTILINE)
    assert match, f"no {pattern} in:\n{text}"
    return match.groups() if match.re.groups > 1 else match.group(1)


def lines_of_slixmpp(text):
    """Returns the lines for slixmpp as somebody marks them with the mouse."""
    return found(r"^(python3 - <<'END'\n(?:.*\n)*END\n)", text)


async def pasted(text, domain):
    """The lines for slixmpp send a message, which ben finds when he logs in."""
    # The python3 of somebody who installed slixmpp.
    path = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]
    shell = ["bash", "-euc", lines_of_slixmpp(text)]
    environment = {**os.environ, "PATH": path}
    ran = subprocess.run(shell, env=environment, timeout=PATIENCE, capture_output=True, text=True)
    assert ran.returncode == 0, ran
    server = SimpleNamespace(domain=domain, address="127.0.0.1")
    server.ben = found(r"account +ben@\S+ +password (\S+)", text)
    server.starttls, server.tls = map(int, found(r"ports +(\d+) \(STARTTLS\), (\d+) \(TLS\)", text))
    server.ca = found(r"authority +(\S+)", text)
    ben = Slixmpp("ben", server)
    await ben.login("tls")
    await ben.reads(f"ana@{domain}", "Hello from slixmpp")
    await ben.logout()
    ok("slixmpp-lines")


def profanity_line(text, domain):
    password = found(r"account +ana@\S+ +password (\S+)", text)
    ana = Profanity()
    try:
        ana.types(found(r"^ +(/connect .*)$", text))
        ana.types(password)
        ana.shows(f"ana@{domain}/", "logged in successfully")
        ana.types("/quit")
    finally:
        ana.close()
    ok("profanity-line")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True, help="the built `calypte`")
    program = parser.parse_args().program
    with tempfile.TemporaryDirectory(prefix="calypte-interop-") as folder:
        server = subprocess.Popen(
            [program, "dev"],
            env={**os.environ, "TMPDIR": folder},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            text = greeting(server)
            domain = found(r"account +ana@(\S+)", text)
            ok("greeting")
            asyncio.run(pasted(text, domain))
            profanity_line(text, domain)
            server.send_signal(signal.SIGINT)
            said, _ = server.communicate(timeout=PATIENCE)
            assert server.returncode == 0, (server.returncode, said)
            assert "nothing is left" in said, said
            assert os.listdir(folder) == [], os.listdir(folder)
            ok("ctrl-c")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
