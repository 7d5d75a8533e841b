#!/usr/bin/env python3
"""Many idle connections to several dispatchers at one time; see connections.sh.

    connections.py DOMAIN CA TCP TLS "PID SIP-PORT TLS-PORT ..." ...

A process for each dispatcher opens TCP connections over TCP and TLS of them over TLS, from sources of its own. When all
stand everywhere, each is pinged; then some of them subscribe.
"""

import asyncio
import collections
import multiprocessing
import sys
import threading
import time

from phone import Phone, Refused, says, trusting

AT_ONCE = 200  # connecting or asking at one time
PER_SOURCE = 1000
PATIENCE = 60  # s
WATCHERS = 200  # of the connections of each kind
MOST = {"tcp": 12, "tls": 20}  # KiB of a dispatcher's memory for each


class Crowd:
    """The connections to one dispatcher over one transport."""

    def __init__(self, transport, domain, port, network, trust):
        self.transport, self.domain, self.network = transport, domain, network
        self.server, self.trust, self.phones, self.failed = ("127.0.0.1", port), trust, [], collections.Counter()

    async def open(self, count):
        async def one(number):
            local = f"127.{self.network}.{number // PER_SOURCE}.1"
            self.phones.append(await Phone(f"w{number}", self.domain).connect(
                self.transport, self.server, local=local, trust=self.trust
            ))

        await self.each(range(count), one)
        self.check("opening")

    async def ping(self):
        await self.each(self.phones, Phone.ping)
        self.check("pinging")

    async def watch(self, whom):
        """Some of them, spread over all, subscribe; the first NOTIFY of each is awaited."""
        watches = []

        async def one(phone):
            watch = await phone.subscribe(whom)
            await watch.until(lambda _: True, PATIENCE)
            watches.append(watch)

        await self.each(self.phones[:: max(1, len(self.phones) // WATCHERS)], one)
        self.check("subscribing")
        return watches

    async def each(self, items, act):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(item):
            async with gate:
                try:
                    await asyncio.wait_for(act(item), PATIENCE)
                except (OSError, Refused, TimeoutError, asyncio.TimeoutError) as error:
                    self.failed[f"{type(error).__name__} {error}"] += 1

        await asyncio.gather(*map(one, items))

    def check(self, what):
        lost = sum(phone.wire.closed.is_set() for phone in self.phones)
        if self.failed or lost:
            raise Refused(f"{what} over {self.transport}: {dict(self.failed)}, and {lost} connections were closed")


class Dispatcher:
    """What a process of ours does with one dispatcher, in step with the others."""

    def __init__(self, number, domain, trust, counts, dispatcher, barrier):
        self.pid, sip, tls, *_ = map(int, dispatcher.split())
        self.name, self.domain, self.sip = f"dispatcher {number + 1}", domain, sip
        self.counts, self.barrier = counts, barrier
        tcp = Crowd("tcp", domain, sip, 2 * number + 1, None)
        self.crowds = [tcp, Crowd("tls", domain, tls, 2 * number + 2, trust)]

    async def work(self):
        for crowd, count in zip(self.crowds, self.counts):
            before, begun = self.resident(), time.monotonic()
            await crowd.open(count)
            took = time.monotonic() - begun
            each = (self.resident() - before) / max(1, count) / 1024
            self.say(f"{count} {crowd.transport.upper()} connections in {took:.1f} s, {each:.1f} KiB each")
            if each > MOST[crowd.transport]:
                raise Refused(f"more than {MOST[crowd.transport]} KiB for each connection over {crowd.transport}")
        await self.together()
        for crowd in self.crowds:
            before, begun = self.resident(), time.monotonic()
            await crowd.ping()
            took = time.monotonic() - begun
            each = (self.resident() - before) / max(1, len(crowd.phones))
            pings = f"{len(crowd.phones)} pings over {crowd.transport.upper()}"
            self.say(f"{pings} answered in {took:.1f} s, {each:.0f} bytes each")
        await self.together()
        await self.subscribe()
        for crowd in self.crowds:
            crowd.check("at the end")
        await self.together()

    async def subscribe(self):
        publisher = await Phone(f"alice-{self.sip}", self.domain).connect("udp", ("127.0.0.1", self.sip))
        for crowd in self.crowds:
            watches, begun = await crowd.watch(publisher.user), time.monotonic()
            await publisher.publish(crowd.transport)
            told = [await watch.until(says(crowd.transport), PATIENCE) for watch in watches]
            took = (max((notify.at for notify in told), default=begun) - begun) * 1000
            name = crowd.transport.upper()
            self.say(f"{len(told)} watch over {name}; a PUBLISH reached the last {took:.0f} ms later")

    async def together(self):
        """Waits until the others are as far."""
        try:
            await asyncio.to_thread(self.barrier.wait)
        except threading.BrokenBarrierError:
            raise Refused("another one has failed") from None

    def resident(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def say(self, what):
        print(f"{self.name}: {what}; {self.resident() >> 20} MiB resident", flush=True)


def run(*arguments):
    dispatcher = Dispatcher(*arguments)
    try:
        asyncio.run(dispatcher.work())
    except Refused as refused:
        dispatcher.barrier.abort()
        sys.exit(f"connections.py: {dispatcher.name}: FAILED: {refused}")


def main():
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    domain, ca, dispatchers = sys.argv[1], sys.argv[2], sys.argv[5:]
    counts, barrier = list(map(int, sys.argv[3:5])), multiprocessing.Barrier(len(dispatchers))
    trust = trusting(ca)
    processes = [
        multiprocessing.Process(target=run, args=(number, domain, trust, counts, dispatcher, barrier))
        for number, dispatcher in enumerate(dispatchers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(any(process.exitcode for process in processes))


main()
