"""Somebody who logs in with slixmpp, says who the contacts are, and goes."""

import argparse
import asyncio
import sys

import slixmpp


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--domain", default="chat.example")
    parser.add_argument("--starttls", type=int, required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--stay", action="store_true", help="until the server ends it")
    parser.add_argument("name")
    asked = parser.parse_args()
    password = sys.stdin.readline().rstrip("\n")
    client = slixmpp.ClientXMPP(f"{asked.name}@{asked.domain}", password)
    client.ca_certs = asked.ca
    client.enable_direct_tls = False
    client.enable_plaintext = False
    outcome = asyncio.get_running_loop().create_future()
    lost = asyncio.Event()

    def settle(event):
        if not outcome.done():
            outcome.set_result(event)

    for event in ("session_start", "failed_auth", "connection_failed"):
        client.add_event_handler(event, lambda _, event=event: settle(event))
    client.add_event_handler("disconnected", lambda _: lost.set())
    client.connect("127.0.0.1", asked.starttls)
    event = await asyncio.wait_for(outcome, 30)
    if event != "session_start":
        sys.exit(event)
    roster = await client.get_roster()
    for jid, item in roster["roster"]["items"].items():
        print(jid, item["subscription"], *item["groups"])
    sys.stdout.flush()
    if asked.stay:
        client.send_presence()
        await asyncio.wait_for(lost.wait(), 60)
        return
    await client.disconnect()


asyncio.run(main())
