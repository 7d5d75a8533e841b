#!/usr/bin/env bash
# The 4,527 malformed requests of the PROTOS suite (c07-sip, of the University of Oulu; GPL, so it is used from where it
# lies and no part of this project) as SUBSCRIBE, PUBLISH and OPTIONS over UDP and TCP against a `vedette up` of its own.
# After each the service must answer. Needs python3; takes some minutes.
#
#   protos.sh [ARCHIVE]     [../shared/data/protos/c07-sip-testcases.tar.xz]
#   BIN=FILE                the vedette binary [built by cargo build --release]
set -euo pipefail

readonly ROOT=$(cd "$(dirname "$0")/.." && pwd)
readonly ARCHIVE=${1:-$ROOT/../shared/data/protos/c07-sip-testcases.tar.xz}
readonly DOMAIN=vedette.test
[[ -f $ARCHIVE ]] || { echo "protos.sh: there is no $ARCHIVE; name the archive of the suite" >&2; exit 2; }
if [[ -z ${BIN-} ]]; then
  cargo build --release --manifest-path "$ROOT/Cargo.toml" -p vedette
  BIN=$ROOT/target/release/vedette
fi

# shellcheck source=scripts/ports.sh
. "$ROOT/scripts/ports.sh"
sip=127.0.0.1:$(free_port) http=127.0.0.1:$(free_port)
log=$(mktemp)
# One address sends all of it, and is refused nearly all of it. What is granted would be held for the twenty minutes that
# each case asks for, by all managers, and hide what leaks.
VEDETTE_LIMITS__REFUSALS_PER_SECOND=0 VEDETTE_EXPIRES__SUBSCRIBE__MIN=1 VEDETTE_EXPIRES__SUBSCRIBE__DEFAULT=2 \
  VEDETTE_EXPIRES__SUBSCRIBE__MAX=2 "$BIN" up --auth open --sip "$sip" --http "$http" --domain $DOMAIN >"$log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in {1..300}; do
  grep -q 'Vedette is ready' "$log" && break
  kill -0 $server 2>/dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.1
done
python3 "$ROOT/scripts/protos.py" "$ARCHIVE" "$sip" "$DOMAIN" "$server" || { tail -20 "$log" >&2; exit 1; }
grep -i panic "$log" && exit 1
rm -f "$log"
