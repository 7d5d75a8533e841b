#!/usr/bin/env bash
# Phones at two dispatchers watch each other, over different transports.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: watching.sh

Starts three managers and two dispatchers on this machine, ends them, and exits with 0 if every watcher saw what was
published at the other dispatcher.

  BIN=FILE  the vedette binary [built by cargo build --release]
  KEEP=1    leaves the folder with configurations and logs
USAGE
}

case ${1-} in
  '') ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

# shellcheck source=scripts/edge/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

main() {
  begin
  start_dispatcher one 127.0.0.1
  start_dispatcher two 127.0.0.1
  # shellcheck disable=SC2154 # start_dispatcher sets them
  python3 "$edge/watching.py" "$DOMAIN" "$folder/ca.crt" "$port_one,$tls_one" "$port_two,$tls_two"
}

main
