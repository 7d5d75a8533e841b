#!/usr/bin/env python3
"""Phones whose dispatcher is lost while its address moves to another one; see virtual-address.sh.

    virtual_address.py DOMAIN CA OWN-ADDRESS ADDRESS "SIP-PORT TLS-PORT ..." COMMAND

COMMAND is what happens to the dispatcher.
"""

import asyncio
import subprocess
import sys
import time

from phone import Phone, Refused, says, trusting

PATIENCE = 20  # s until what did not come has failed


class Lab:
    def __init__(self, domain, ca, local, address, ports):
        self.domain, self.trust, self.local = domain, trusting(ca), local
        self.address, self.ports = address, ports.split()
        self.notes = 0

    def server(self, transport):
        return self.address, int(self.ports[transport == "tls"])

    async def connect(self, phone, transport):
        """As soon as somebody listens there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return await phone.connect(transport, self.server(transport), local=self.local, trust=self.trust)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Refused(f"{transport.upper()} cannot connect: {error}") from None
                await asyncio.sleep(0.05)

    async def publish(self, publisher):
        self.notes += 1
        note = f"{self.notes}-{time.monotonic_ns()}"
        await publisher.publish(note)
        return says(note)


def check_source(lab, notify):
    if notify.source != lab.server("udp"):
        raise Refused(f"the NOTIFY came from {notify.source}, not from {lab.server('udp')}")


async def over_udp(lab, publisher, watch, lost):
    """The phone does nothing but answer."""
    news = await lab.publish(publisher)
    published = time.monotonic()
    first = await watch.until(news, PATIENCE)
    check_source(lab, first)
    print(f"UDP: a PUBLISH through the other dispatcher is answered {since(lost, published)} after the loss")
    print(f"UDP: its NOTIFY is there {since(lost, first.at)} after the loss, from {first.source[0]}:{first.source[1]}")
    begun = time.monotonic()
    second = await watch.until(await lab.publish(publisher), PATIENCE)
    # One NOTIFY is in flight in a dialog, so this one says that the 200 to the last one was taken.
    print(f"UDP: the 200 was taken: the next NOTIFY comes {since(begun, second.at)} after its PUBLISH")
    told = len(watch.told)
    await watch.refresh()
    await watch.until(lambda notify: notify in watch.told[told:], PATIENCE)
    last = await watch.until(await lab.publish(publisher), PATIENCE)
    check_source(lab, last)
    rising = [notify.cseq for notify in watch.told]
    if rising != sorted(rising):
        raise Refused(f"CSeqs fell: {rising}")
    print("UDP: a refresh in the dialog is answered and NOTIFYs go on")


async def over_connection(lab, transport, watch, news, lost):
    """The phone connects anew once it sees that its connection is gone, and refreshes its dialog."""
    name = f"{watch.phone.wire.transport_name}{watch.parameters}"
    told = len(watch.told)
    try:
        await asyncio.wait_for(watch.phone.wire.closed.wait(), 1)
        print(f"{name}: the connection is closed {since(lost, watch.phone.wire.closed_at)} after the loss")
    except (TimeoutError, asyncio.TimeoutError):
        print(f"{name}: nothing tells that the connection is gone (a phone learns it from its keep-alive)")
        watch.phone.hang_up()
    if len(watch.told) > told:
        raise Refused("a NOTIFY came over a connection that is gone")
    begun = time.monotonic()
    await lab.connect(watch.phone, transport)
    await watch.refresh()
    notify = await watch.until(lambda notify: notify in watch.told[told:] and news(notify), PATIENCE)
    print(f"{name}: {since(begun, notify.at)} after connecting anew it has the newest state, in the same dialog")


def since(begun, at):
    return f"{(at - begun) * 1000:.0f} ms"


async def main():
    if len(sys.argv) != 7:
        sys.exit(__doc__)
    lab, command = Lab(*sys.argv[1:6]), sys.argv[6]
    new = lambda user, transport: lab.connect(Phone(user, lab.domain, f"{user}pw"), transport)
    alice, bob = await new("alice", "udp"), await new("bob", "udp")
    watch = await bob.subscribe("alice")
    connected = []
    for transport, parameters in (("tcp", ""), ("tcp", ";ob"), ("tls", "")):
        phone = await new("carol", transport)
        connected.append((transport, await phone.subscribe("alice", parameters)))
    before = await lab.publish(alice)
    for each in (watch, *(watch for _, watch in connected)):
        notify = await each.until(before, PATIENCE)
    check_source(lab, await watch.until(before, PATIENCE))

    lost = time.monotonic()
    await asyncio.to_thread(subprocess.run, [command], check=True)
    print(f"the address has moved {since(lost, time.monotonic())} after the loss")
    await over_udp(lab, alice, watch, lost)
    news = await lab.publish(alice)
    for transport, other in connected:
        await over_connection(lab, transport, other, news, lost)
    for each in (watch, *(watch for _, watch in connected)):
        await each.until(await lab.publish(alice), PATIENCE)
    print("all: NOTIFYs go on")


try:
    asyncio.run(main())
except Refused as refused:
    sys.exit(f"virtual_address.py: FAILED: {refused}")
