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
  local one two
  one=$(free_ports 4) two=$(free_ports 4)
  start_dispatcher one 127.0.0.1 "$one" 127.0.0.1
  start_dispatcher two 127.0.0.1 "$two" 127.0.0.1
  python3 "$edge/watching.py" "$DOMAIN" "$folder/ca.crt" "$one" "$two"
}

main
