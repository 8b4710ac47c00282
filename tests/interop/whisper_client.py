"""Profanity and slixmpp-omemo whisper to each other (XEP-0384): ana trusts each device by its fingerprint.

Ana has a phone that published keys before: Profanity 0.13 lists its own only where there is a list.
"""

import asyncio
import sys

from omemo_client import OLD, Device
from profanity_client import Profanity, aside
from story import PATIENCE, ok, run
from together_client import befriend


async def fingerprint(device):
    """Returns the fingerprint of a device as Profanity shows it."""
    keys = await device.keys()
    own = (await keys.get_own_device_information())[0]
    return "-".join(keys.format_identity_key(own.identity_key))


async def trust(ana, device):
    await aside(ana.types, f"/omemo trust {device.jid} {await fingerprint(device)}")


async def listed(ben, phone, count):
    """Waits until ben was told of so many devices of ana."""
    for _ in range(PATIENCE * 10):
        known = await (await ben.keys()).get_device_information(phone.jid)
        if len([one for one in known if dict(one.active).get(OLD)]) == count:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{count} devices of ana, and not {known}")


async def whole_story(server):
    phone, ben = Device("ana", server, "phone"), Device("ben", server, "desk")
    ana = Profanity(server.ca)
    try:
        await phone.login("tls")
        await ben.login("tls")
        await phone.roster()
        await ben.roster()
        await befriend(phone, ben)
        await ben.knows(phone.jid, phone)
        await aside(ana.connect, phone.jid, server.starttls, "force", server.ana)
        await aside(ana.shows, "logged in successfully")
        ok("login")
        await aside(ana.types, "/carbons on")
        await aside(ana.types, "/omemo gen")
        await aside(ana.shows, "graphic materials generated")
        await listed(ben, phone, 2)
        ok("keys")
        await aside(ana.types, f"/msg {ben.jid}")
        await aside(ana.types, f"/omemo start {ben.jid}")
        await aside(ana.shows, ben.jid, "[OMEMO]")
        for device in (ben, phone):
            await trust(ana, device)
        await aside(ana.types, "a secret of the terminal")
        await ben.reads(phone.jid, "a secret of the terminal")
        await phone.reads_copies(phone.jid, "a secret of the terminal")
        await ben.whispers(phone.jid, "a secret of the library")
        await aside(ana.shows, "a secret of the library")
        await phone.reads(ben.jid, "a secret of the library")
        ok("whisper")
        await aside(ana.types, "/quit")
        for device in (ben, phone):
            await device.logout()
        ok("logout")
    except AssertionError:
        print(ana.screen(), file=sys.stderr)
        raise
    finally:
        ana.close()


if __name__ == "__main__":
    run(whole_story)
