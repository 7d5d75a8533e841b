"""What the phones of the scripts share: the lines of a dialog, and the answer to a digest challenge."""

import hashlib
import os
import re


class Dialog:
    def __init__(self, local, remote):
        self.remote, self.target, self.routes = remote, remote, []
        self.call_id, self.cseq = os.urandom(8).hex(), 0
        self.from_line, self.to_line = f"From: <{local}>;tag={os.urandom(4).hex()}", f"To: <{remote}>"

    def lines(self, method):
        self.cseq += 1
        return [self.from_line, self.to_line, f"Call-ID: {self.call_id}", f"CSeq: {self.cseq} {method}"]

    def established(self, headers):
        self.target = re.search(r"<([^>]*)>", headers["contact"][0]).group(1)
        if "tag=" in self.to_line:
            return  # The route set of a dialog stays (RFC 3261 12.2).
        self.to_line = "To: " + headers["to"][0]
        routes = [route for line in headers.get("record-route", []) for route in line.split(",")]
        self.routes = [f"Route: {route.strip()}" for route in reversed(routes)]


def authorization(user, realm, password, nonce, method, uri):
    """MD5 with qop; each nonce is used as if for the first time."""

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()

    ha1, ha2 = md5(f"{user}:{realm}:{password}"), md5(f"{method}:{uri}")
    response = md5(f"{ha1}:{nonce}:00000001:c0ffee:auth:{ha2}")
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
        f'response="{response}", algorithm=MD5, qop=auth, nc=00000001, cnonce="c0ffee"'
    )
