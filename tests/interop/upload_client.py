"""Files by HTTPS (XEP-0363), with slixmpp and aiohttp: ana sends a picture, ben fetches it.

The name in the address leads to this machine.
"""

import asyncio
import hashlib
import io
import logging
import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from story import DOMAIN, arguments, ok, soon

server = arguments()
# What aiohttp trusts.
os.environ["SSL_CERT_FILE"] = server.ca

import aiohttp  # noqa: E402
import slixmpp  # noqa: E402
from slixmpp.plugins.xep_0363 import FileTooBig  # noqa: E402

from slixmpp_client import server_port, settle  # noqa: E402

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000
real = socket.getaddrinfo


def found_here(host, *rest, **more):
    return real("127.0.0.1" if host == DOMAIN else host, *rest, **more)


async def login(name):
    client = slixmpp.ClientXMPP(f"{name}@{DOMAIN}", getattr(server, name))
    client.ca_certs = server.ca
    client.enable_plaintext = client.enable_direct_tls = False
    for plugin in ("xep_0030", "xep_0066", "xep_0363"):
        client.register_plugin(plugin)
    outcome = asyncio.get_running_loop().create_future()
    for event in ("session_start", "failed_auth", "connection_failed"):
        client.add_event_handler(event, lambda data, event=event: settle(outcome, event, data))
    client.connect("127.0.0.1", server_port(server, "starttls"))
    event, data = await soon(outcome, f"{name} logs in")
    assert event == "session_start", (event, data)
    client.send_presence()
    return client


async def fetch(url, headers=None):
    async with aiohttp.ClientSession() as session:
        async with session.get(url, headers=headers or {}) as answer:
            return answer.status, answer.headers, await answer.read()


async def story():
    ana, ben = await login("ana"), await login("ben")
    links = asyncio.Queue()
    ben.add_event_handler("message", lambda message: links.put_nowait(message["oob"]["url"]))
    upload = ana.plugin["xep_0363"]
    info = await soon(upload.find_upload_service(), "the service is found")
    assert str(info["from"]) == DOMAIN, info
    ok("found")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "Ein Bild für Ben.png"
        path.write_bytes(PICTURE)
        url = await soon(upload.upload_file(path), "the picture is sent")
        profile = await soon(upload.upload_file(path, purpose="profile"), "a profile picture is sent")
    assert url.endswith("/Ein%20Bild%20f%C3%BCr%20Ben.png") and profile != url, (url, profile)
    ok("sent")
    message = ana.make_message(mto=f"ben@{DOMAIN}", mbody=url, mtype="chat")
    message["oob"]["url"] = url
    message.send()
    link = await soon(links.get(), "ben gets the link")
    status, headers, body = await soon(fetch(link), "ben fetches the picture")
    assert (status, headers["Content-Type"]) == (200, "image/png"), (status, headers)
    assert hashlib.sha256(body).digest() == hashlib.sha256(PICTURE).digest()
    status, headers, body = await soon(fetch(link, {"Range": "bytes=100-199"}), "a part")
    assert (status, body) == (206, PICTURE[100:200]), (status, headers)
    ok("fetched")
    try:
        # What the service says of its limit is believed before anything is asked.
        await upload.upload_file("large.bin", size=100 << 30, input_file=io.BytesIO())
    except FileTooBig as why:
        assert why.args == (100 << 30, (100 << 20) + 16), why
    else:
        raise AssertionError("it is not too large")
    ok("too-large")
    for client in (ana, ben):
        await client.disconnect()
    ok("logout")


if __name__ == "__main__":
    level = logging.DEBUG if server.verbose else logging.CRITICAL
    logging.basicConfig(level=level, stream=sys.stderr)
    # aiohttp would ask DNS by itself.
    aiohttp.connector.DefaultResolver = aiohttp.ThreadedResolver
    socket.getaddrinfo = found_here
    asyncio.run(asyncio.wait_for(story(), 120))
