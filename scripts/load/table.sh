#!/usr/bin/env bash
# CPU per operation of a cluster of processes (a dispatcher and three managers, replicated and synced), as a table.
set -euo pipefail
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")

usage() {
  cat <<'EOF'
Usage: table.sh

Starts a cluster in a folder of its own, loads it with presload, prints what each operation costs, and ends the cluster.
Nobody is asked for a password unless AUTH says so.

  BIN=FILE        the vedette binary [built by cargo build --release]
  PRESLOAD=FILE   the load generator [../shared/bench/presload, built by cargo build --release there]
  SECONDS_EACH=N  how long each operation runs [3]
  REPEAT=N        how often; the median is shown [3]
  AUTH=WHAT       as in scripts/cluster/local.sh [open]; with accounts:FILE also PASSWORD=PATTERN, %u being the user
  PIN=1           servers on core 0, the generator on core 1; needs taskset

CPU is user and system time of all server processes. Beside each figure stands the rate, and for latencies p50/p99. The
last lines tell how many commands shared a log entry, and how long one fdatasync takes in the folder used.
EOF
}

case ${1-} in
  '') ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

root=$(realpath "$here/../..")
BIN=${BIN:-$root/target/release/vedette}
PRESLOAD=${PRESLOAD:-$root/../shared/bench/presload/target/release/presload}
REPEAT=${REPEAT:-3} SECONDS_EACH=${SECONDS_EACH:-3} PASSWORD=${PASSWORD-} PIN=${PIN-}
for tool in "$BIN" "$PRESLOAD"; do
  [[ -x $tool ]] || { echo "$0: $tool is not there; see --help" >&2; exit 2; }
done

# shellcheck source=scripts/faults/common.sh
. "$here/../faults/common.sh"
folder=$(mktemp -d)
DIR=$folder/cluster
trap '"$local_sh" stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
export BIN
main() {
  start_cluster >/dev/null
  [[ -z $PIN ]] || for pid in $(server_pids); do taskset -acp 0 "$pid" >/dev/null; done
  printf '%-36s %12s %10s %18s\n' operation 'CPU us' per-second 'p50/p99 ms'
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
  echo
  echo "commands per log entry: $(commands_per_entry)"
  echo "one fdatasync: $(fdatasync)"
}

# Loads the cluster; what presload prints is kept for `row`.
run() { # MODE ARGUMENTS
  local password=()
  [[ -z $PASSWORD ]] || password=(--password "$PASSWORD")
  local mode=$1
  shift
  "$PRESLOAD" --target "$SIP" --domain "$DOMAIN" --pids "$(server_pids | paste -sd,)" --repeat "$REPEAT" \
    ${PIN:+--cpu 1} --prefix "r$RANDOM" "${password[@]}" "$mode" "$@" >"$folder/result"
  local lost
  lost=$(awk '/^(watchers_lost_final_state|timeout_|no_notify|.*socket_drops)/ && $NF > 0' "$folder/result")
  [[ -z $lost ]] || echo "  $mode: $lost"
}

row() { # TITLE CPU RATE LATENCY
  awk -v title="$1" -v cpu="$2" -v rate="$3" -v latency="$4" '
    # min, median and max of several runs, or the one figure of one
    { value[$1] = NF >= 4 ? $3 : $2 }
    END {
      printf "%-36s %12.1f %10.0f %18s\n", title, value[cpu] * 1000, value[rate],
        value[latency "_p50_ms"] "/" value[latency "_p99_ms"]
    }' "$folder/result"
}

server_pids() {
  local file pid
  for file in "$DIR"/*.pid; do
    read -r pid _ <"$file"
    echo "$pid"
  done
}

# Over all managers: followers propose nothing.
commands_per_entry() {
  local port
  for port in $(sed -n 's/^PROBE_PORTS=//p' "$DIR/cluster"); do
    curl -fsS "http://127.0.0.1:$port/metrics"
  done | awk '
    /^vedette_log_commands_per_entry_sum/ { sum += $NF }
    /^vedette_log_commands_per_entry_count/ { count += $NF }
    END { if (count) printf "%.1f in the mean of %d entries", sum / count, count; else print "unknown" }'
}

fdatasync() {
  python3 - "$DIR" <<'EOF'
import os, sys, time
file = os.open(os.path.join(sys.argv[1], "probe"), os.O_CREAT | os.O_WRONLY)
taken = []
for _ in range(200):
    os.write(file, b"x" * 4096)
    begun = time.perf_counter()
    os.fdatasync(file)
    taken.append((time.perf_counter() - begun) * 1000)
taken.sort()
print(f"p50 {taken[100]:.2f} ms, p99 {taken[197]:.2f} ms")
EOF
}

main
