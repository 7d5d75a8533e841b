# shellcheck shell=bash
# A port of this machine that nobody uses. To be sourced; needs python3.

# Below those that systems give to outgoing connections: one of these could sit there a moment later.
free_port() {
  python3 -c '
import random, socket
while True:
    port = random.randrange(10_000, 20_000)
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(type=kind) as sock:
                sock.bind(("127.0.0.1", port))
    except OSError:
        continue
    print(port)
    break'
}
