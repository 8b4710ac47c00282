"""ana sends carl, who is on another server, the address of a picture (XEP-0363, XEP-0066); he fetches it."""

import asyncio
import io

import aiohttp
from people import Slix, run
from story import ok, soon

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 2000


class Sender(Slix):
    def equip(self, client):
        super().equip(client)
        self.links = asyncio.Queue()
        client.register_plugin("xep_0066")
        client.register_plugin("xep_0363")

    def on_message(self, message):
        self.links.put_nowait((message["from"].bare, message["body"], message["oob"]["url"]))


async def fetch(url, part=None):
    async with aiohttp.ClientSession() as session:
        headers = {"Range": f"bytes={part}"} if part else {}
        async with session.get(url, headers=headers) as answer:
            return answer.status, answer.headers["Content-Type"], await answer.read()


async def picture(ours, theirs):
    ana, carl = Sender("ana", ours), Sender("carl", theirs)
    for person in (ana, carl):
        await person.login("tls")
    upload = ana.client.plugin["xep_0363"]
    sent = upload.upload_file("Ein Bild.png", size=len(PICTURE), input_file=io.BytesIO(PICTURE))
    url = await soon(sent, "the picture is sent")
    assert url.startswith(f"https://{ours.domain}/"), url
    message = ana.client.make_message(mto=carl.jid, mbody=url, mtype="chat")
    message["oob"]["url"] = url
    message.send()
    ok("sent")
    sender, body, link = await soon(carl.links.get(), "carl gets the address")
    assert (sender, body, link) == (ana.jid, url, url), (sender, body, link)
    # The connection breaks in the middle, and he reads on from there.
    middle = len(PICTURE) // 2
    status, kind, begin = await soon(fetch(link, f"0-{middle - 1}"), "the first half")
    assert (status, kind, len(begin)) == (206, "image/png", middle), (status, kind, len(begin))
    status, kind, rest = await soon(fetch(link, f"{middle}-"), "the rest")
    assert (status, begin + rest == PICTURE) == (206, True), (status, len(rest))
    status, kind, whole = await soon(fetch(link), "the picture")
    assert (status, kind, whole == PICTURE) == (200, "image/png", True), (status, kind)
    status, _, _ = await soon(fetch(link + "x"), "somebody else's")
    assert status == 404, status
    ok("fetched")
    for person in (ana, carl):
        await person.logout()
    ok("logout")


if __name__ == "__main__":
    run({"picture": picture})
