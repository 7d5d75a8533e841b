#!/usr/bin/env bash
# A disk that fails for real: from some moment on every fdatasync of two of three managers answers EIO (strace injects
# it). From then on nothing may be answered 200; what was answered 200 before must be there when the two come back.
#
#   scripts/faults/fdatasync-eio.sh        BIN=FILE names the vedette binary, else a release is built
#
# Needs strace, the right to trace one's own processes, python3. Exit status 0: all held.
set -euo pipefail
# shellcheck source=scripts/faults/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

DIR=$(mktemp -d)
tracers=()

end() {
  for tracer in "${tracers[@]}"; do kill "$tracer" 2>/dev/null || true; done
  "$local_sh" stop >/dev/null 2>&1 || true
  rm -rf "$DIR"
}
trap end EXIT

# Returns once strace holds every thread of the manager.
break_disk() { # NUMBER
  local pid trace=$DIR/strace-$1
  pid=$(pid_of "$1")
  strace -f -q -e trace=fdatasync -e inject=fdatasync:error=EIO -o "$trace" -p "$pid" 2>"$trace.err" &
  tracers+=($!)
  until all_traced "$pid"; do
    kill -0 "${tracers[-1]}" 2>/dev/null || fail "strace does not attach: $(cat "$trace.err")"
    sleep 0.05
  done
}

all_traced() { # PID
  ! grep -q '^TracerPid:[[:space:]]0$' /proc/"$1"/task/*/status
}

command -v strace >/dev/null || fail "strace is not installed"
start_cluster

publish before 40 >"$DIR/before"
say "before: $(summary "$DIR/before")"
[[ $(with_status 200 "$DIR/before") == 40 ]] || fail "a healthy cluster refuses"

break_disk 1
break_disk 2
publish during 40 >"$DIR/during"
say "while two of three cannot sync: $(summary "$DIR/during")"
grep -q INJECTED "$DIR"/strace-1 "$DIR"/strace-2 || fail "no fdatasync was made to fail"
[[ $(with_status 200 "$DIR/during") == 0 ]] || fail "something was answered 200 that no majority has synced"
for n in 1 2; do
  ! grep -q 'panicked' "$DIR/manager-$n.log" || fail "manager-$n panicked: $(grep -m1 panicked "$DIR/manager-$n.log")"
done

# A manager that gave up has taken its tracer with it.
for tracer in "${tracers[@]}"; do kill "$tracer" 2>/dev/null || true; wait "$tracer" || true; done
tracers=()
restart 1 2
check_kept "$DIR/before"
publish after 20 >"$DIR/after"
say "after: $(summary "$DIR/after")"
[[ $(with_status 200 "$DIR/after") == 20 ]] || fail "the cluster did not recover"
say "all held"
