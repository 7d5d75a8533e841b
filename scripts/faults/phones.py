#!/usr/bin/env python3
"""Phones that never stop asking, for billing.sh beside it: each request gets its digest, and its answer is counted.

    phones.py ADDR:PORT DOMAIN PHONES      user uN has the password uN-pw

Five kinds of requests go on at a steady pace:

    refresh   a SUBSCRIBE in a dialog that stands
    publish   a PUBLISH by an account that publishes all the time
    new       a SUBSCRIBE to an address that nobody watched before: somebody has to be asked about it
    wrong     a PUBLISH with a wrong password
    bare      a SUBSCRIBE that ignores its challenge

Commands come on standard input. `report`: a row for each kind of what was answered since the last report, and an empty
line. `refused N`: publishes as uN until that is refused, and says after how many ms it was, and after how many its
subscription was ended (- if it was not).
"""

import asyncio
import collections
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from sip import Dialog, authorization

PACE = {"refresh": 10, "publish": 10, "new": 5, "wrong": 3, "bare": 10}  # a second
RETRANSMIT = (0.5, 1, 2, 2, 2)  # a request without any answer by then has none
AT_ONCE = 300  # more are not begun; they are counted as "none"
STATUSES = (200, 401, 403, 503)
EXPIRES = 60
PATIENCE = 5  # s until a phone that should be refused is not


class Socket(asyncio.DatagramProtocol):
    """All transactions of all phones."""

    def __init__(self, server):
        self.server, self.open, self.ended = server, {}, {}

    def connection_made(self, transport):
        self.transport = transport
        self.me = "%s:%d" % transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data, _):
        start, headers = parse(data)
        if not start.startswith("SIP/2.0"):
            self.answer(headers)
            return
        status = int(start.split()[1])
        branch = re.search(r"branch=([^;,]+)", headers["via"][0]).group(1)
        waiting = self.open.get(branch)
        if status >= 200 and waiting and not waiting.done():
            waiting.set_result((status, headers))

    def answer(self, notify):
        state = notify.get("subscription-state", [""])[0]
        if state.startswith("terminated"):
            self.ended.setdefault(notify["call-id"][0], time.monotonic())
        lines = ["SIP/2.0 200 OK"]
        lines += [f"Via: {via}" for via in notify["via"]]
        lines += [f"{name}: {notify[name.lower()][0]}" for name in ("From", "To", "Call-ID", "CSeq")]
        self.send(lines + ["Content-Length: 0"])

    def send(self, lines, body=""):
        self.transport.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self.server)

    async def ask(self, method, uri, lines, body=""):
        """The final answer and its headers; 0 if there is none."""
        branch = "z9hG4bK" + os.urandom(8).hex()
        request = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.me};branch={branch};rport",
            "Max-Forwards: 70",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        self.open[branch] = asyncio.get_running_loop().create_future()
        try:
            for pause in RETRANSMIT:
                self.send(request, body)
                done, _ = await asyncio.wait([self.open[branch]], timeout=pause)
                if done:
                    return self.open[branch].result()
            return 0, {}
        finally:
            del self.open[branch]


class Phone:
    """One account: its nonce, its publication, its subscription."""

    def __init__(self, socket, domain, user, password):
        self.socket, self.domain, self.user, self.password = socket, domain, user, password
        self.uri = f"sip:{user}@{domain}"
        self.nonce, self.tag, self.dialog = None, None, None
        self.busy = False

    async def publish(self):
        body = ""
        if self.tag is None:
            body = (
                '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" '
                f'entity="{self.uri}"><tuple id="t"><status><basic>open</basic></status></tuple></presence>'
            )
        extra = [f"SIP-If-Match: {self.tag}" if self.tag else "Content-Type: application/pidf+xml"]
        status, headers = await self.request("PUBLISH", self.uri, Dialog(self.uri, self.uri), extra, body)
        self.tag = headers["sip-etag"][0] if status == 200 else None
        return status

    async def subscribe(self, whom=None, logs_in=True):
        dialog = Dialog(self.uri, f"sip:{whom}@{self.domain}" if whom else self.uri)
        status, headers = await self.request("SUBSCRIBE", dialog.remote, dialog, self.contact(), "", logs_in)
        if status == 200 and whom is None:
            dialog.established(headers)
            self.dialog = dialog
        return status

    async def refresh(self):
        if self.dialog is None:
            return await self.subscribe()
        dialog = self.dialog
        status, _ = await self.request("SUBSCRIBE", dialog.target, dialog, self.contact() + dialog.routes)
        if status in (403, 481):
            self.dialog = None
        return status

    def contact(self):
        return [f"Contact: <sip:{self.user}@{self.socket.me}>", "Accept: application/pidf+xml"]

    async def request(self, method, uri, dialog, extra, body="", logs_in=True):
        """Asks, with the nonce of before if there is one, and again if a new one came back."""
        tried = None
        while True:
            lines = dialog.lines(method) + ["Event: presence", f"Expires: {EXPIRES}"] + extra
            if self.nonce and logs_in:
                lines.append(authorization(self.user, self.domain, self.password, self.nonce, method, self.uri))
            tried = self.nonce
            status, headers = await self.socket.ask(method, uri, lines, body)
            if status != 401 or not logs_in:
                return status, headers
            challenges = [line for line in headers["www-authenticate"] if "SHA-256" not in line]
            self.nonce = re.search(r'nonce="([^"]*)"', challenges[0]).group(1)
            if tried is not None and "stale=true" not in challenges[0].lower():
                return status, headers


class Tally:
    """What was answered since the last report."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.answers = collections.defaultdict(collections.Counter)
        self.times = collections.defaultdict(list)

    def add(self, kind, status, took):
        self.answers[kind][status] += 1
        if status:
            self.times[kind].append(took * 1000)

    def report(self):
        heads = [*map(str, STATUSES), "other", "none", "p50 ms", "p99 ms"]
        rows = [f"{'':<10}" + "".join(f"{head:>8}" for head in heads)]
        for kind in PACE:
            answers, times = self.answers[kind], sorted(self.times[kind])
            known = [answers[status] for status in STATUSES]
            cells = [*known, answers.total() - sum(known) - answers[0], answers[0]]
            cells += [percentile(times, 0.5), percentile(times, 0.99)]
            others = {status: n for status, n in answers.items() if status not in (0, *STATUSES)}
            rows.append(f"{kind:<10}" + "".join(f"{cell:>8}" for cell in cells) + (f"  {others}" if others else ""))
        self.clear()
        return "\n".join(rows) + "\n"


def percentile(times, share):
    return round(times[min(len(times) - 1, int(len(times) * share))]) if times else "-"


def parse(data):
    lines = data.decode("utf-8", "replace").split("\r\n\r\n")[0].split("\r\n")
    headers = collections.defaultdict(list)
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()].append(value.strip())
    return lines[0], headers


class Load:
    def __init__(self, socket, domain, count):
        self.socket, self.domain, self.tally, self.begun = socket, domain, Tally(), 0
        self.open = set()
        self.phones = [Phone(socket, domain, f"u{n}", f"u{n}-pw") for n in range(count)]
        self.wrong = [Phone(socket, domain, f"u{n}", "wrong") for n in range(count)]

    async def keep_up(self, kind):
        while True:
            self.begin(kind)
            await asyncio.sleep(1 / PACE[kind])

    def begin(self, kind):
        phones = self.wrong if kind == "wrong" else self.phones
        self.begun += 1
        if len(self.open) >= AT_ONCE:
            self.tally.add(kind, 0, 0)
            return
        # What a phone does in its dialog or about its publication it does one after the other.
        idle = [phone for phone in phones if not phone.busy]
        if idle:
            task = asyncio.create_task(self.perform(kind, idle[self.begun % len(idle)]))
            self.open.add(task)
            task.add_done_callback(self.open.discard)

    async def perform(self, kind, phone):
        whom = f"x{os.urandom(6).hex()}"
        phone.busy = kind in ("refresh", "publish", "wrong")
        began = time.monotonic()
        if kind == "refresh":
            status = await phone.refresh()
        elif kind in ("publish", "wrong"):
            status = await phone.publish()
        else:
            status = await phone.subscribe(whom, logs_in=kind == "new")
        if phone.busy and kind in ("refresh", "publish", "wrong"):
            phone.busy = False
        self.tally.add(kind, status, time.monotonic() - began)

    async def refused(self, number):
        phone = self.phones[number]
        if phone.dialog is None:
            await phone.subscribe()
        call_id, began, refused = phone.dialog and phone.dialog.call_id, time.monotonic(), None
        while time.monotonic() < began + PATIENCE and (refused is None or call_id not in self.socket.ended):
            if await phone.publish() in (401, 403) and refused is None:
                refused = time.monotonic()
            await asyncio.sleep(0.02)
        ended = self.socket.ended.get(call_id)
        return " ".join("-" if at is None else str(round((at - began) * 1000)) for at in (refused, ended))


async def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    host, port = sys.argv[1].rsplit(":", 1)
    loop = asyncio.get_running_loop()
    _, socket = await loop.create_datagram_endpoint(
        lambda: Socket((host, int(port))), local_addr=("127.0.0.1", 0)
    )
    load = Load(socket, sys.argv[2], int(sys.argv[3]))
    running = [asyncio.create_task(load.keep_up(kind)) for kind in PACE]
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := (await commands.readline()).decode().split():
        print(load.tally.report() if line[0] == "report" else await load.refused(int(line[1])), flush=True)
    for task in running:
        task.cancel()


asyncio.run(main())
