# shellcheck shell=bash
# What the load scripts share: clusters that come and go, presload against them, and rows of what it found. To be
# sourced; BIN and PRESLOAD are set, and `folder` is a folder that may be filled.

: "${BIN:?}" "${PRESLOAD:?}"
load=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/faults/common.sh
. "$load/../faults/common.sh"

begin_cluster() { # AUTH
  local cores
  AUTH=$1 DIR=${folder:?}/cluster
  cores=$(taskset -cp $$ | sed 's/.*: //')
  # The servers inherit it. Pinned later they would have a thread for each core that they saw at their start.
  [[ -z ${PIN-} ]] || taskset -cp 0 $$ >/dev/null
  # One generator is one address.
  VEDETTE_LIMITS__REQUESTS_PER_SECOND=0 VEDETTE_LIMITS__SUBSCRIPTIONS_PER_SOURCE=0 start_cluster >/dev/null
  [[ -z ${PIN-} ]] || taskset -cp "$cores" $$ >/dev/null
}

end_cluster() {
  [[ -z ${DIR-} ]] || "$local_sh" stop >/dev/null 2>&1 || true
  rm -rf "$folder/cluster"
}

# Loads the cluster; what presload prints is kept for `row`. What was lost or refused is said.
run() { # MODE ARGUMENTS
  local mode=$1 lost
  shift
  "$PRESLOAD" --target "$SIP" --domain "$DOMAIN" --pids "$(server_pids | paste -sd,)" --repeat "${REPEAT:-1}" \
    ${PIN:+--cpu 1} --prefix "${PREFIX:-r$RANDOM}" ${PASSWORD:+--password "$PASSWORD"} "$mode" "$@" >"$folder/result"
  lost=$(awk '
    { sub(/^refresh\./, "") }
    /^(watchers_lost_final_state|timeout_|no_notify|resp_.*_[3-6]..|.*socket_drops)/ && !/_401 / && $NF > 0
  ' "$folder/result")
  [[ -z $lost ]] || echo "  $mode: $lost"
}

heading() {
  printf '%-44s %10s %10s %18s\n' operation 'CPU us' per-second 'p50/p99 ms'
}

row() { # TITLE CPU RATE LATENCY
  awk -v title="$1" -v cpu="$2" -v rate="$3" -v latency="$4" '
    # min, median and max of several runs, or the one figure of one
    { value[$1] = NF >= 4 ? $3 : $2 }
    END {
      printf "%-44s %10.1f %10.0f %18s\n", title, value[cpu] * 1000, value[rate],
        value[latency "_p50_ms"] "/" value[latency "_p99_ms"]
    }' "$folder/result"
}

figure() { # NAME
  awk -v name="$1" '$1 == name { print (NF >= 4 ? $3 : $2) }' "$folder/result"
}

server_pids() {
  local file pid
  for file in "$DIR"/*.pid; do
    read -r pid _ <"$file"
    echo "$pid"
  done
}

resident_bytes() { # PID
  awk '/^VmRSS/ { printf "%d", $2 * 1024 }' "/proc/$1/status"
}

# Over all managers: followers propose nothing.
commands_per_entry() {
  local port ports
  read -ra ports < <(sed -n 's/^PROBE_PORTS=//p' "$DIR/cluster")
  for port in "${ports[@]}"; do
    curl -fsS "http://127.0.0.1:$port/metrics"
  done | awk '
    /^vedette_log_commands_per_entry_sum/ { sum += $NF }
    /^vedette_log_commands_per_entry_count/ { count += $NF }
    END { if (count) printf "%.1f in the mean of %d entries", sum / count, count; else print "unknown" }'
}

fdatasync() {
  python3 - "$DIR" <<'PROBE'
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
PROBE
}
