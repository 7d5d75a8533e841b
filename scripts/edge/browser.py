#!/usr/bin/env python3
"""Serves a softphone to headless Chromium and watches it from a phone at another dispatcher; see browser.sh.

    browser.py DOMAIN FOLDER SIP-PORT LIBRARY WEBSOCKET-URL

FOLDER holds index.html and what it loads, and takes the browser's profile. The browser's phone is bob's; alice's is at
SIP-PORT, over UDP.
"""

import asyncio
import os
import pathlib
import shutil
import sys
import time
import urllib.parse

from phone import Phone, Refused, says

PATIENCE = 40  # s until a page that did not get there has failed; a browser takes its time to start
NOTE = "from the browser"


class Pages:
    """Just enough of HTTP, and what the page told."""

    def __init__(self, folder):
        self.folder, self.said, self.news = pathlib.Path(folder), [], asyncio.Event()

    async def serve(self, reader, writer):
        start, length = (await reader.readline()).decode(), 0
        if not start:
            return writer.close()  # A browser connects ahead of what it may need.
        method, target, _ = start.split()
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        path, body, answer = urllib.parse.urlsplit(target).path, await reader.readexactly(length), b""
        if method == "POST":
            self.said.append((time.monotonic(), path.removeprefix("/said/"), body.decode()))
            self.news.set()
        else:
            file = self.folder / (path.strip("/") or "index.html")
            answer = file.read_bytes() if file.is_file() else b""
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + answer)
        writer.close()

    async def told(self, what, holds=lambda text: True):
        """When the page said so."""
        deadline = time.monotonic() + PATIENCE
        while True:
            for at, said, text in self.said:
                if said == "failed":
                    raise Refused(f"the page says: {text}")
                if said == what and holds(text):
                    return at
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), deadline - time.monotonic())
            except (TimeoutError, asyncio.TimeoutError):
                heard = [said for _, said, _ in self.said]
                raise Refused(f"the page has not {what} within {PATIENCE} s, only {heard}") from None


def browse(folder, url):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    return asyncio.create_subprocess_exec(
        chromium,
        *flags,
        f"--user-data-dir={folder}/profile",
        url,
        env={**os.environ, "HOME": folder},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )


async def watch_each_other(pages, domain, port, library, server):
    alice = await Phone("alice", domain, "alicepw").connect("udp", ("127.0.0.1", int(port)))
    await pages.told("registered")
    await pages.told("subscribed")
    print(f"{library} over {server.split(':')[0]}: registered and subscribed")
    note, begun = os.urandom(4).hex(), time.monotonic()
    await alice.publish(note)
    at = await pages.told("notified", lambda body: f"<note>{note}</note>" in body)
    print(f"  a PUBLISH over UDP at the other dispatcher is in the page {(at - begun) * 1000:.0f} ms later")
    if library == "sip.js":
        watch = await alice.subscribe("bob")
        await watch.until(says(NOTE), PATIENCE)
        print("  what the page published is seen there")


async def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    domain, folder, port, library, server = sys.argv[1:]
    pages = Pages(folder)
    http = await asyncio.start_server(pages.serve, "127.0.0.1", 0)
    here = "%s:%d" % http.sockets[0].getsockname()
    asked = dict(library=library, server=server, domain=domain, user="bob", whom="alice", note=NOTE)
    browser = await browse(folder, f"http://{here}/?{urllib.parse.urlencode(asked)}")
    try:
        await watch_each_other(pages, domain, port, library, server)
    finally:
        browser.terminate()
        await browser.wait()


try:
    asyncio.run(main())
except Refused as refused:
    sys.exit(f"browser.py: FAILED: {refused}")
