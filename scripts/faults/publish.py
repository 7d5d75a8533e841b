#!/usr/bin/env python3
"""Publishes over UDP and says what was answered, for the fault scripts beside it.

    publish.py ADDR:PORT DOMAIN NAME COUNT   publishes for NAME-0, NAME-1, ...; a line "user status entity-tag" for each
    publish.py ADDR:PORT DOMAIN refresh      reads such lines, refreshes what was answered 200, and prints new ones

Each document carries a note of NOTE random bytes (from the environment; none by default), which nothing packs.
A status of 0 means that there was no final answer within WAIT seconds (from the environment; 12 by default).
"""

import base64
import os
import socket
import sys
import time

WAIT = float(os.environ.get("WAIT", "12"))
NOTE = int(os.environ.get("NOTE", "0"))
AT_ONCE = 20
RETRANSMIT = (0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0)


class Publication:
    def __init__(self, user, tag=None):
        self.user, self.tag = user, tag
        self.status = 0
        self.call_id = f"{user}-{os.urandom(6).hex()}"
        self.note = base64.b64encode(os.urandom(NOTE)).decode()
        self.branch = "z9hG4bK" + os.urandom(8).hex()

    def request(self, domain, port):
        uri = f"sip:{self.user}@{domain}"
        body = ""
        if self.tag is None:
            body = (
                '<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" '
                f'entity="{uri}"><tuple id="t"><status><basic>open</basic></status></tuple>'
                f"<note>{self.note}</note></presence>"
            )
        lines = [
            f"PUBLISH {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch={self.branch};rport",
            "Max-Forwards: 70",
            f"From: <{uri}>;tag={self.call_id}",
            f"To: <{uri}>",
            f"Call-ID: {self.call_id}",
            "CSeq: 1 PUBLISH",
            "Event: presence",
            "Expires: 3600",
            f"SIP-If-Match: {self.tag}" if self.tag else "Content-Type: application/pidf+xml",
            f"Content-Length: {len(body)}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def answered(self, status, headers):
        self.status = status
        if status == 200:
            self.tag = headers["sip-etag"]


def perform(publications, address, domain):
    """Sends them all, retransmits, and returns when each has its answer or the time is up."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(0.05)
    port = sock.getsockname()[1]
    open_ones = {publication.call_id: publication for publication in publications}
    started = time.monotonic()
    due = [0.0]
    for pause in RETRANSMIT:
        due.append(due[-1] + pause)
    while open_ones and time.monotonic() < started + WAIT:
        if due and time.monotonic() >= started + due[0]:
            due.pop(0)
            for publication in open_ones.values():
                sock.sendto(publication.request(domain, port), address)
        try:
            status, headers = read(sock.recv(65536))
        except (TimeoutError, ConnectionRefusedError):
            continue
        if status >= 200 and headers["call-id"] in open_ones:
            open_ones.pop(headers["call-id"]).answered(status, headers)
    sock.close()


def read(datagram):
    head = datagram.decode("utf-8", "replace").split("\r\n\r\n")[0].split("\r\n")
    pairs = (line.split(":", 1) for line in head[1:] if ":" in line)
    return int(head[0].split()[1]), {name.strip().lower(): value.strip() for name, value in pairs}


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    host, port = sys.argv[1].rsplit(":", 1)
    if sys.argv[3] == "refresh":
        rows = [line.split() for line in sys.stdin]
        publications = [Publication(row[0], row[2]) for row in rows if row[1] == "200"]
    else:
        publications = [Publication(f"{sys.argv[3]}-{n}") for n in range(int(sys.argv[4]))]
    for at in range(0, len(publications), AT_ONCE):
        perform(publications[at : at + AT_ONCE], (host, int(port)), sys.argv[2])
    for publication in publications:
        print(publication.user, publication.status, publication.tag or "-")


main()
