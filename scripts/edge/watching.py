#!/usr/bin/env python3
"""alice at one dispatcher and bob at another watch each other, over every pair of transports; see watching.sh.

    watching.py DOMAIN CA "SIP-PORT TLS-PORT ..." "SIP-PORT TLS-PORT ..."
"""

import asyncio
import os
import sys
import time

from phone import Phone, Refused, says, trusting

PATIENCE = 10  # s until a NOTIFY that did not come has failed
TRANSPORTS = ("udp", "tcp", "tls")


async def at(dispatcher, transport, user, domain, trust):
    port = dispatcher[transport == "tls"]
    return await Phone(user, domain, f"{user}pw").connect(transport, ("127.0.0.1", int(port)), trust=trust)


async def seen(publisher, watch):
    """Milliseconds from a PUBLISH until the watcher has it, by its 200 and by its NOTIFY."""
    note, begun = os.urandom(4).hex(), time.monotonic()
    await publisher.publish(note)
    answered = time.monotonic()
    notify = await watch.until(says(note), PATIENCE)
    return (answered - begun) * 1000, (notify.at - begun) * 1000


async def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    domain, trust = sys.argv[1], trusting(sys.argv[2])
    dispatchers = [ports.split() for ports in sys.argv[3:]]
    print(f"{'publisher':<16}{'watcher':<16}{'200 after ms':>13}{'NOTIFY after ms':>17}")
    for here in TRANSPORTS:
        for there in TRANSPORTS:
            alice = await at(dispatchers[0], here, "alice", domain, trust)
            bob = await at(dispatchers[1], there, "bob", domain, trust)
            watched_by_alice, watched_by_bob = await alice.subscribe("bob"), await bob.subscribe("alice")
            for who, whose, watch in (("one", alice, watched_by_bob), ("two", bob, watched_by_alice)):
                answered, told = await seen(whose, watch)
                other = "two" if who == "one" else "one"
                names = f"{whose.wire.transport_name} at {who}", f"{watch.phone.wire.transport_name} at {other}"
                print(f"{names[0]:<16}{names[1]:<16}{answered:>13.1f}{told:>17.1f}")
            for phone in (alice, bob):
                phone.hang_up()


try:
    asyncio.run(main())
except Refused as refused:
    sys.exit(f"watching.py: FAILED: {refused}")
