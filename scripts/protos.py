#!/usr/bin/env python3
"""Sends the malformed INVITEs of the PROTOS suite as other methods to a server that runs, for protos.sh beside it.

    protos.py ARCHIVE ADDR:PORT DOMAIN PID

After each case the server must answer an OPTIONS. Prints the memory of the process before, after each method over each
transport, and once the answers kept for repeats are forgotten.
"""

import itertools
import re
import select
import socket
import sys
import tarfile
import time

WAIT = 10  # seconds for the answer to an OPTIONS, which is sent every half of one
FORGOTTEN = 75  # seconds until nothing is kept of what was granted for two, nor for repeats
DATAGRAM = 65_507  # bytes that fit

numbers = itertools.count(1)


def cases(archive):
    """The first message of each case, as it stands in the archive: its length, a space, its bytes."""
    found = []
    with tarfile.open(archive) as tar:
        # In the order of the archive: each step back would unpack it from the start.
        for member in tar:
            if re.search(r"testcases/\d+$", member.name):
                length, text = tar.extractfile(member).read().split(b" ", 1)
                found.append((member.name.rsplit("/", 1)[1], text[: int(length)]))
    return sorted(found)


def filled(text, method, transport, domain, local):
    number = next(numbers)
    host, port = local
    for name, value in {
        "From-Address": host, "From-IP": host, "Local-Port": port, "To": f"bob@{domain}", "From": f"alice@{domain}",
        "Branch-ID": number, "Call-ID": f"protos-{number}", "CSeq": number,
    }.items():
        text = text.replace(f"<{name}>".encode(), str(value).encode())
    text = text.replace(b"INVITE", method.encode()).replace(b"SIP/2.0/UDP", b"SIP/2.0/" + transport.encode())
    text = text.replace(b"\r\nMax-Forwards", b"\r\nEvent: presence\r\nMax-Forwards", 1)
    body = text.partition(b"\r\n\r\n")[2]
    return text.replace(b"<Content-Length>", str(len(body)).encode())


class Server:
    def __init__(self, address, domain):
        host, port = address.rsplit(":", 1)
        self.address, self.domain = (host, int(port)), domain
        self.probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.probe.connect(self.address)
        self.noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.noise.connect(self.address)

    def is_alive(self):
        number, (host, port) = next(numbers), self.probe.getsockname()
        call = f"probe-{number}"
        options = (
            f"OPTIONS sip:bob@{self.domain} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bKprobe{number}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:alice@{self.domain}>;tag=p\r\nTo: <sip:bob@{self.domain}>\r\n"
            f"Call-ID: {call}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        end = time.monotonic() + WAIT
        while time.monotonic() < end:
            try:
                self.probe.send(options)
                while select.select([self.probe], [], [], 0.5)[0]:
                    answer = self.probe.recv(65_536)
                    if call.encode() in answer and answer.startswith(b"SIP/2.0 200"):
                        return True
            except ConnectionError:
                time.sleep(0.1)
        return False

    def send(self, text, method, transport):
        if transport == "UDP":
            request = filled(text, method, transport, self.domain, self.noise.getsockname())
            if len(request) > DATAGRAM:
                return False
            self.noise.send(request)
            # What it says is not looked at, only taken from the socket.
            while select.select([self.noise], [], [], 0)[0]:
                self.noise.recv(65_536)
            return True
        with socket.create_connection(self.address) as stream:
            request = filled(text, method, transport, self.domain, stream.getsockname())
            try:
                stream.sendall(request)
                stream.shutdown(socket.SHUT_WR)
                stream.settimeout(WAIT)
                while stream.recv(65_536):
                    pass
            except TimeoutError:
                print(f"after {len(request)} bytes a connection was not closed")
            except OSError:
                pass  # It may cut off what it cannot read.
        return True


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) // 1024


def main():
    archive, address, domain, pid = sys.argv[1:]
    server = Server(address, domain)
    all_cases = cases(archive)
    assert server.is_alive(), "the server does not answer"
    print(f"{len(all_cases)} cases; memory before: {memory(pid)} MB", flush=True)
    for transport, method in itertools.product(("UDP", "TCP"), ("SUBSCRIBE", "PUBLISH", "OPTIONS")):
        sent = 0
        for name, text in all_cases:
            sent += server.send(text, method, transport)
            if not server.is_alive():
                sys.exit(f"case {name} as {method} over {transport}: no OPTIONS is answered within {WAIT} s")
        print(f"{method:9} over {transport}: {sent} sent, alive after each; memory: {memory(pid)} MB", flush=True)
    time.sleep(FORGOTTEN)
    print(f"{FORGOTTEN} s later: {memory(pid)} MB")


main()
