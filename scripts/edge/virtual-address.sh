#!/usr/bin/env bash
# Two dispatchers behind one virtual address, each on a host (a network namespace) of its own: what phones notice when
# the one that took their SUBSCRIBEs is killed, or its host vanishes, and the address moves to the other.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: virtual-address.sh

Makes four hosts: phones, two dispatchers that both listen on the virtual address (net.ipv4.ip_nonlocal_bind), and the
managers. Exits with 0 if the next NOTIFY reaches a UDP phone from the address and port that it knows, its 200 is taken
and its dialog goes on, and if phones with connections get the newest state when they have connected anew.

  BIN=FILE    the vedette binary [built by cargo build --release]
  NETNS=FILE  what makes the hosts; only one such lab at a time [../shared/lab/netns.sh]
  KEEP=1      leaves the folder with configurations and logs

Needs root, iproute2 and nftables.
USAGE
}

case ${1-} in
  '' | inside) ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

# shellcheck source=scripts/edge/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

NETNS=${NETNS:-$edge/../../../shared/lab/netns.sh}
readonly NETNS PHONES=1 ONE=2 TWO=3 MANAGERS=4 # the hosts
readonly VIRTUAL=10.77.0.100 PORTS="5060 5061 80 443"

hosts() {
  [[ -x $NETNS ]] || fail "$NETNS is not there; see --help"
  [[ ! -e /run/netns/lab-h1 ]] || fail "there is a lab already ($NETNS down ends it)"
  trap '"$NETNS" down' EXIT
  "$NETNS" up 4
  local host
  for host in $ONE $TWO; do
    "$NETNS" exec "$host" sysctl -qw net.ipv4.ip_nonlocal_bind=1
  done
  # Everything else happens on the host of the managers.
  "$NETNS" exec $MANAGERS "$0" inside
}

inside() {
  export INNER=10.77.0.$MANAGERS
  begin
  start_dispatcher one $VIRTUAL "$PORTS" 10.77.0.$ONE "$NETNS" exec $ONE
  start_dispatcher two $VIRTUAL "$PORTS" 10.77.0.$TWO "$NETNS" exec $TWO
  take_address $ONE
  # shellcheck disable=SC2154 # start_dispatcher sets them
  write_misfortune killed "kill -KILL $pid_one; $NETNS exec $ONE ip addr del $VIRTUAL/24 dev e0" $TWO
  write_misfortune vanished "$NETNS link $TWO down" $ONE
  phones killed "$folder/killed"
  run_dispatcher one "$NETNS" exec $ONE
  phones "gone with its host" "$folder/vanished"
}

phones() { # WHAT COMMAND
  say "a dispatcher is $1:"
  local own=10.77.0.$PHONES
  "$NETNS" exec $PHONES python3 "$edge/virtual_address.py" "$DOMAIN" "$folder/ca.crt" $own $VIRTUAL "$PORTS" "$2"
}

# A command that does something to a dispatcher and gives its address to a host.
write_misfortune() { # NAME COMMAND HOST
  {
    printf '#!/usr/bin/env bash\n%s\n' "$2"
    declare -p NETNS VIRTUAL
    declare -f take_address
    printf 'take_address %s\n' "$3"
  } >"$folder/$1"
  chmod +x "$folder/$1"
}

# As keepalived would: the address, and a gratuitous ARP for those who knew it elsewhere.
take_address() { # HOST
  "$NETNS" exec "$1" ip addr add "$VIRTUAL/24" dev e0
  "$NETNS" exec "$1" python3 - "$VIRTUAL" <<'ARP'
import socket, struct, sys
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("e0", 0))
mac, address = wire.getsockname()[4], socket.inet_aton(sys.argv[1])
header = b"\xff" * 6 + mac + b"\x08\x06"
wire.send(header + struct.pack("!HHBBH", 1, 0x800, 6, 4, 1) + mac + address + b"\0" * 6 + address)
ARP
}

if [[ ${1-} == inside ]]; then inside; else hosts; fi
