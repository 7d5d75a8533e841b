"""A phone that publishes and watches over UDP, TCP or TLS, for the scripts beside it.

It keeps to the letter what a server leans on: one Via branch a transaction, retransmissions over UDP, the route set of
the dialog, a 200 to each NOTIFY, and the digest where it is asked for. It never reconnects by itself.
"""

import asyncio
import os
import re
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from sip import Dialog, authorization

RETRANSMIT = (0.5, 1, 2, 4, 4)
EXPIRES = 600
PING, PONG = b"\r\n\r\n", b"\r\n"


class Refused(Exception):
    """A final answer that is no 2xx, or none at all."""


class Datagrams(asyncio.DatagramProtocol):
    """A UDP socket. It is not connected, so that what comes from elsewhere is seen to do so."""

    transport_name = "UDP"

    def __init__(self, take, server):
        self.take, self.server = take, server

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        if data.strip():
            self.take(data.decode(), source)

    def error_received(self, _):
        """The server is away for a moment; the retransmissions see to it."""

    def send(self, data):
        self.transport.sendto(data, self.server)


class Stream(asyncio.Protocol):
    """A TCP or TLS connection, framed by Content-Length."""

    def __init__(self, take, server, transport_name):
        self.take, self.server, self.transport_name = take, server, transport_name
        self.buffer, self.closed, self.ponged = b"", asyncio.Event(), asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _):
        self.closed_at = time.monotonic()
        self.closed.set()

    def data_received(self, data):
        self.buffer += data
        while self.buffer:
            if self.buffer.startswith(PONG):
                self.buffer = self.buffer[len(PONG) :]
                self.ponged.set()
                continue
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
            length = int(length.group(1)) if length else 0
            if not found or len(rest) < length:
                return
            self.buffer = rest[length:]
            self.take((head + found + rest[:length]).decode(), self.server)

    def send(self, data):
        self.transport.write(data)


class Phone:
    """One account at one place."""

    def __init__(self, user, domain, password=None):
        self.user, self.domain, self.password = user, domain, password
        self.uri = f"sip:{user}@{domain}"
        self.wire, self.open, self.watches = None, {}, {}
        self.tag, self.nonce, self.strays = None, None, 0

    async def connect(self, transport, server, local="127.0.0.1", trust=None):
        """`server` is (host, port); TLS wants to know whom to `trust`."""
        loop = asyncio.get_running_loop()
        if transport == "udp":
            make = lambda: Datagrams(self.take, server)
            _, self.wire = await loop.create_datagram_endpoint(make, local_addr=(local, 0))
        else:
            make = lambda: Stream(self.take, server, transport.upper())
            context = trust if transport == "tls" else None
            _, self.wire = await loop.create_connection(make, *server, ssl=context, local_addr=(local, 0))
            self.wire.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.me = "%s:%d" % self.wire.transport.get_extra_info("sockname")[:2]
        return self

    async def publish(self, note):
        body = (
            '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" '
            f'entity="{self.uri}"><tuple id="t"><status><basic>open</basic></status>'
            f"<note>{note}</note></tuple></presence>"
        )
        lines = ["Event: presence", "Content-Type: application/pidf+xml"]
        if self.tag:
            lines.append(f"SIP-If-Match: {self.tag}")
        headers = await self.request("PUBLISH", self.uri, Dialog(self.uri, self.uri), lines, body)
        self.tag = headers["sip-etag"][0]

    async def subscribe(self, whom, parameters=""):
        """`parameters` follow the Contact's address, such as ;ob."""
        watch = Watch(self, f"sip:{whom}@{self.domain}", parameters)
        self.watches[watch.dialog.call_id] = watch
        await watch.refresh()
        return watch

    async def ping(self):
        self.wire.ponged.clear()
        self.wire.send(PING)
        await asyncio.wait_for(self.wire.ponged.wait(), 10)

    def hang_up(self):
        self.wire.transport.abort()

    async def request(self, method, uri, dialog, extra, body=""):
        """The headers of a 2xx; asked for a password, it asks again with the digest."""
        for _ in range(3):
            lines = dialog.lines(method) + [f"Expires: {EXPIRES}"] + extra
            if self.nonce:
                lines.append(authorization(self.user, self.domain, self.password, self.nonce, method, uri))
            status, headers = await self.transact(method, uri, lines, body)
            challenge = headers.get("www-authenticate", [""])[0]
            if status != 401 or not self.password:
                break
            self.nonce = re.search(r'nonce="([^"]*)"', challenge).group(1)
        if not 200 <= status < 300:
            raise Refused(f"{method} {uri} over {self.wire.transport_name}: {status or 'no answer'}")
        return headers

    async def transact(self, method, uri, lines, body):
        branch = "z9hG4bK" + os.urandom(8).hex()
        head = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.wire.transport_name} {self.me};branch={branch};rport",
            "Max-Forwards: 70",
            *lines,
            f"Content-Length: {len(body)}",
        ]
        request = ("\r\n".join(head) + "\r\n\r\n" + body).encode()
        answer = self.open[branch] = asyncio.get_running_loop().create_future()
        try:
            for number, pause in enumerate(RETRANSMIT):
                if number == 0 or self.wire.transport_name == "UDP":
                    self.wire.send(request)
                done, _ = await asyncio.wait([answer], timeout=pause)
                if done:
                    return answer.result()
            return 0, {}
        finally:
            del self.open[branch]

    def take(self, text, source):
        start, headers, body = parse(text)
        if not start.startswith("SIP/2.0"):
            return self.answer(headers, body, source)
        status = int(start.split()[1])
        waiting = self.open.get(re.search(r"branch=([^;,]+)", headers["via"][0]).group(1))
        if status >= 200 and waiting and not waiting.done():
            waiting.set_result((status, headers))

    def answer(self, headers, body, source):
        watch = self.watches.get(headers["call-id"][0])
        status = "200 OK" if watch else "481 Call/Transaction Does Not Exist"
        lines = [f"SIP/2.0 {status}", *(f"Via: {via}" for via in headers["via"])]
        lines += [f"{name}: {headers[name.lower()][0]}" for name in ("From", "To", "Call-ID", "CSeq")]
        self.wire.send(("\r\n".join(lines + ["Content-Length: 0"]) + "\r\n\r\n").encode())
        if watch:
            watch.take(Notify(headers, body, source))
        else:
            self.strays += 1


class Notify:
    def __init__(self, headers, body, source):
        self.at, self.source, self.body = time.monotonic(), source, body
        self.cseq = int(headers["cseq"][0].split()[0])
        self.state = headers["subscription-state"][0]
        self.via = headers["via"][0]


class Watch:
    """A subscription: what it was told, in the order of arrival."""

    def __init__(self, phone, whom, parameters):
        self.phone, self.dialog, self.parameters = phone, Dialog(phone.uri, whom), parameters
        self.told, self.news = [], asyncio.Event()

    def take(self, notify):
        # A retransmission says nothing new.
        if all(notify.cseq != before.cseq for before in self.told):
            self.told.append(notify)
            self.news.set()

    async def refresh(self):
        phone, dialog = self.phone, self.dialog
        transport = phone.wire.transport_name.lower()
        contact = f"Contact: <sip:{phone.user}@{phone.me};transport={transport}{self.parameters}>"
        extra = ["Event: presence", contact, "Accept: application/pidf+xml", *dialog.routes]
        dialog.established(await phone.request("SUBSCRIBE", dialog.target, dialog, extra))

    async def until(self, holds, patience):
        """The first NOTIFY for which `holds`; it may have come already."""
        deadline, seen = time.monotonic() + patience, 0
        while True:
            for notify in self.told[seen:]:
                if holds(notify):
                    return notify
            seen = len(self.told)
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), deadline - time.monotonic())
            except (TimeoutError, asyncio.TimeoutError):
                raise Refused(f"no such NOTIFY to {phone_name(self)} within {patience} s") from None


def trusting(ca):
    return ssl.create_default_context(cafile=ca)


def phone_name(watch):
    return f"{watch.phone.user} over {watch.phone.wire.transport_name}"


def says(note):
    return lambda notify: f"<note>{note}</note>" in notify.body


def parse(text):
    head, _, body = text.partition("\r\n\r\n")
    start, *lines = head.split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return start, headers, body
