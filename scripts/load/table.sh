#!/usr/bin/env bash
# CPU per operation of a cluster of processes (a dispatcher and three managers, replicated and synced), as a table; and
# the memory of a subscription that is held.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: table.sh [PART...]

Starts clusters in a folder of their own, loads them with presload, prints what each operation costs, and ends them. The
parts, all unless some are named:

  operations   each operation where nobody is asked for a password (AUTH=open)
  latency      PUBLISH to NOTIFY at half of the best rate
  accounts     SUBSCRIBE with a digest that the auth-adapter knows: asked for the first time, and remembered
  memory       of each manager for a subscription that is held

  BIN=FILE        the vedette binary [built by cargo build --release]
  PRESLOAD=FILE   the load generator [../shared/bench/presload, built by cargo build --release there]
  SECONDS_EACH=N  how long each operation runs [3]
  REPEAT=N        how often; the median is shown [3]
  HELD=N          subscriptions held for `memory` [50000]
  PIN=1           servers on core 0, the generator on core 1; needs taskset

CPU is user and system time of all server processes. Beside each figure stands the rate, and for latencies p50/p99.
USAGE
}

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
BIN=${BIN:-$root/target/release/vedette}
PRESLOAD=${PRESLOAD:-$root/../shared/bench/presload/target/release/presload}
REPEAT=${REPEAT:-3} SECONDS_EACH=${SECONDS_EACH:-3} HELD=${HELD:-50000} PIN=${PIN-}
export BIN

# shellcheck source=scripts/load/measure.sh
. "$(dirname "${BASH_SOURCE[0]}")/measure.sh"

main() {
  local part parts=("$@")
  for part; do
    case $part in
      operations | latency | accounts | memory) ;;
      -h | --help | help) usage && exit ;;
      *) usage >&2 && exit 2 ;;
    esac
  done
  for part in "$BIN" "$PRESLOAD"; do
    [[ -x $part ]] || { echo "$0: $part is not there; see --help" >&2; exit 2; }
  done
  ((${#parts[@]})) || parts=(operations latency accounts memory)
  folder=$(mktemp -d)
  trap 'end_cluster; rm -rf "$folder"' EXIT
  for part in "${parts[@]}"; do
    "$part"
    end_cluster
    echo
  done
}

operations() {
  begin_cluster open
  heading
  run subscribe -s 6000 -p 1000 -n 32 --sockets 64 --refresh
  row 'SUBSCRIBE + 200 + first NOTIFY' cpu_s_per_1000_subscribe subscribe_per_s to_first_notify_and_200
  row 'refresh + NOTIFY' refresh.cpu_s_per_1000_refresh refresh.refresh_per_s refresh.to_first_notify_and_200
  run publish -p 1000 -c 16 -d "$SECONDS_EACH"
  row 'PUBLISH, 16 outstanding' cpu_s_per_1000_publish publish_per_s publish_to_200
  run publish -p 1000 -c 256 -d "$SECONDS_EACH"
  row 'PUBLISH, 256 outstanding' cpu_s_per_1000_publish publish_per_s publish_to_200
  run fanout -p 1000 -F 1 -c 16 -d "$SECONDS_EACH" --sockets 64
  row 'PUBLISH + its NOTIFY (fan-out 1)' cpu_s_per_1000_publish publish_per_s publish_to_notify
  run fanout -p 100 -F 10 -c 8 -d "$SECONDS_EACH" --sockets 64
  row 'NOTIFY, fan-out 10' cpu_s_per_1000_notify notify_per_s publish_to_notify
  run fanout -p 20 -F 100 -c 4 -d "$SECONDS_EACH" --sockets 64
  row 'NOTIFY, fan-out 100' cpu_s_per_1000_notify notify_per_s publish_to_notify
  echo "commands per log entry: $(commands_per_entry); one fdatasync: $(fdatasync)"
}

# The best rate is the highest at which nothing is repeated, nobody left behind and nobody told late: a server that is
# behind skips states, which is less work and no rate that it holds.
latency() {
  local best half
  begin_cluster open
  heading
  REPEAT=1 run fanout -p 100 -F 10 --find-rate 500 --max-p99 50 -d 2 --sockets 64 2>/dev/null
  best=$(figure max_rate_publish_per_s)
  half=$(awk -v best="$best" 'BEGIN { printf "%d", best / 2 }')
  ((half)) || { echo "no rate of PUBLISH holds, not even the first" && return; }
  run fanout -p 100 -F 10 --rate "$half" -d "$SECONDS_EACH" --sockets 64
  row "PUBLISH to NOTIFY, fan-out 10, $half PUBLISH/s" cpu_s_per_1000_notify notify_per_s publish_to_notify
  echo "half of the best rate, $best PUBLISH/s; one fdatasync: $(fdatasync)"
}

# Every watcher is an account of its own, and each repetition has other ones: at first nothing is known of any. The
# digests share a nonce, which is asked for at the beginning.
accounts() {
  local PREFIX=a PASSWORD=%u-pw n
  for ((n = 0; n < 6000 * REPEAT; n++)); do
    printf '[[account]]\nuri = "sip:aw%d@vedette.test"\npassword = "aw%d-pw"\n' "$n" "$n"
  done >"$folder/accounts.toml"
  begin_cluster "accounts:$folder/accounts.toml"
  heading
  run subscribe -s 6000 -p 1000 -n 32 --sockets 64
  row 'SUBSCRIBE with digest, billing asked' cpu_s_per_1000_subscribe subscribe_per_s to_first_notify_and_200
  run subscribe -s 6000 -p 1000 -n 32 --sockets 64 --refresh
  row 'SUBSCRIBE with digest, remembered' cpu_s_per_1000_subscribe subscribe_per_s to_first_notify_and_200
  row 'refresh + NOTIFY' refresh.cpu_s_per_1000_refresh refresh.refresh_per_s refresh.to_first_notify_and_200
}

# With snapshots often enough that there are some; 40 s after the last SUBSCRIBE every transaction is forgotten.
memory() {
  local before=() n grown
  VEDETTE_LIMITS__SNAPSHOT_EVERY=500 begin_cluster open
  for n in 1 2 3; do before[n]=$(resident_bytes "$(pid_of "$n")"); done
  REPEAT=1 run hold -s "$HELD" -p "$((HELD / 10))" -n 32 --settle 40 --sockets 64
  for n in 1 2 3; do
    grown=$(($(resident_bytes "$(pid_of "$n")") - before[n]))
    echo "manager $n: $((grown / HELD)) bytes for each of $HELD subscriptions"
  done
  "$BIN" ctl --api "http://$HTTP" status | grep -E 'group|^1 ' || true
}

main "$@"
