#!/usr/bin/env bash
# Thousands of idle connections to each of two dispatchers: all are accepted, answer a ping and carry a subscription;
# and what each costs in memory.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: connections.sh

Starts three managers and two dispatchers on this machine. Exits with 0 if every connection was accepted, stayed, did
what it should, and took no more memory than connections.py allows. Sources are addresses of 127.0.0.0/8, so no limit of
the configuration is raised; a process needs as many open files as a dispatcher has connections.

  TCP=N     connections to each dispatcher over TCP [10000]
  TLS=N     and over TLS [2500]
  BIN=FILE  the vedette binary [built by cargo build --release]; memory of a debug build says nothing
  KEEP=1    leaves the folder with configurations and logs
USAGE
}

case ${1-} in
  '') ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

# `TLS` means something else to scripts/cluster/local.sh.
readonly OVER_TCP=${TCP:-10000} OVER_TLS=${TLS:-2500}
unset TLS

# shellcheck source=scripts/edge/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
  local one two
  ulimit -n "$(ulimit -Hn)"
  (($(ulimit -n) > OVER_TCP + OVER_TLS + 500)) || fail "only $(ulimit -n) files may be open (ulimit -Hn)"
  AUTH=open begin
  one=$(free_ports 4) two=$(free_ports 4)
  start_dispatcher one 127.0.0.1 "$one" 127.0.0.1
  start_dispatcher two 127.0.0.1 "$two" 127.0.0.1
  # shellcheck disable=SC2154 # start_dispatcher sets them
  python3 "$edge/connections.py" "$DOMAIN" "$folder/ca.crt" "$OVER_TCP" "$OVER_TLS" "$pid_one $one" "$pid_two $two"
}

main
