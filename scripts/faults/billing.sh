#!/usr/bin/env bash
# A billing system that is slow, broken, lying, killed and restarted, while phones go on asking: what they are answered in
# each phase, and how many questions reached billing. Three managers, an auth-adapter, and the example billing server.
#
#   scripts/faults/billing.sh        BIN=FILE names the vedette binary, BILLING=FILE the example; else they are built
#
# PHASE is the length of a phase in seconds [10], CACHE how long answers of billing may be reused [3]: shorter than a
# phase, so that in each of them answers get out of date. Needs python3. Exit status 0: it ran; the table is for people.
set -euo pipefail
# shellcheck source=scripts/faults/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly PHASE=${PHASE:-10} CACHE=${CACHE:-3} PHONES=20
root=$(realpath "$here/../..")
DIR=$(mktemp -d)
billing=''
asked=0

end() {
  [[ -z $billing ]] || kill "$billing" 2>/dev/null || true
  "$local_sh" stop >/dev/null 2>&1 || true
  rm -rf "$DIR"
}
trap end EXIT

customers() {
  local n
  for ((n = 0; n < PHONES; n++)); do
    printf '[[customer]]\nuri = "sip:u%d@vedette.test"\npassword = "u%d-pw"\n' "$n" "$n"
  done
}

start_billing() {
  "$BILLING" --listen "$BILLING_AT" --admin "$ADMIN_AT" --accounts "$DIR/customers.toml" --cache-seconds "$CACHE" \
    </dev/null >>"$DIR/billing.log" 2>&1 &
  billing=$!
  asked=0
  until admin calls >/dev/null; do sleep 0.05; done
}

kill_billing() {
  kill -KILL "$billing"
  wait "$billing" 2>/dev/null || true
  billing=''
}

# Tells the billing server, and prints what it says.
admin() { # COMMAND...
  (
    exec 3<>"/dev/tcp/${ADMIN_AT%:*}/${ADMIN_AT##*:}"
    echo "$*" >&3
    IFS= read -r -t 5 line <&3
    echo "$line"
  ) 2>/dev/null
}

# Does something, lets the phones go on for a while, and shows what became of them.
phase() { # TITLE COMMAND...
  local title=$1 now
  shift
  "$@" >/dev/null
  sleep "$PHASE"
  printf '\n%s\n' "$title"
  report
  if [[ -n $billing ]]; then
    now=$(admin calls | cut -d' ' -f1)
    echo "billing was asked $((now - asked)) times in $PHASE s"
    asked=$now
  fi
}

report() {
  local row
  echo report >&"${phones[1]}"
  while IFS= read -r row <&"${phones[0]}" && [[ -n $row ]]; do echo "$row"; done
}

# How long a customer goes on after he was blocked.
blocked() { # NUMBER
  local refused ended
  admin block "sip:u$1@vedette.test" >/dev/null
  echo "refused $1" >&"${phones[1]}"
  read -r refused ended <&"${phones[0]}"
  printf '\nblocked: PUBLISH refused after %s ms, subscription ended after %s ms\n' "$refused" "$ended"
  admin unblock "sip:u$1@vedette.test" >/dev/null
  report >/dev/null
}

: "${BILLING:=$root/target/debug/examples/billing}"
[[ -x $BILLING ]] || (cd "$root" && cargo build --locked -p auth-adapter --example billing)
customers >"$DIR/customers.toml"
BILLING_AT=127.0.0.1:$(free_port) ADMIN_AT=127.0.0.1:$(free_port)
start_billing
AUTH=billing:http://$BILLING_AT start_cluster
coproc phones { exec python3 "$here/phones.py" "$SIP" "$DOMAIN" "$PHONES"; }

phase "start (every account is asked about for the first time)" true
phase "healthy" true
phase "slow: billing takes 2 s" admin delay 2000
phase "healthy again" admin delay 0
phase "billing answers UNAVAILABLE" admin fail on
phase "healthy again" admin fail off
phase "lying: garbage in every field" admin lie garbage
phase "lying: refusals say 500" admin lie status500
phase "lying: wrong HA1s" admin lie wrong-ha1
phase "healthy again" admin lie off
blocked 0
phase "billing is killed" kill_billing
phase "billing is back" start_billing
blocked 1
