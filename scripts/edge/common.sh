# shellcheck shell=bash
# What the scripts of this folder share: a cluster of three managers in a folder of its own, and dispatchers beside it
# that phones reach over every transport. To be sourced. Needs scripts/cluster/local.sh, python3 (3.11), openssl and
# curl; BIN names the vedette binary, else one is built.

edge=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
# shellcheck source=scripts/faults/common.sh
. "$edge/../faults/common.sh"

readonly PATIENCE=30 # seconds until a dispatcher that does not serve has failed
PIDS=()

# A cluster, with accounts for alice, bob and carol unless AUTH says otherwise. It ends with the script.
begin() {
  folder=$(mktemp -d)
  DIR=$folder/cluster AUTH=${AUTH-demo}
  trap finish EXIT
  start_cluster >/dev/null
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=throw-away" \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
}

finish() {
  local status=$? pid
  for pid in "${PIDS[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  "$local_sh" stop >/dev/null 2>&1 || true
  if [[ -n ${KEEP-} ]]; then say "kept $folder"; else rm -rf "$folder"; fi
  exit $status
}

# A dispatcher of the name that phones reach at the address, over UDP and TCP, TLS, WS and WSS at the ports; INNER is
# its address for the managers. What follows runs it. Afterwards pid_NAME is its process.
start_dispatcher() { # NAME ADDRESS "SIP TLS WS WSS" INNER [COMMAND...]
  local name=$1 address=$2 inner=$4 sip tls ws wss
  read -r sip tls ws wss <<<"$3"
  printf -v "http_$name" '%s' "$inner:$(free_port)"
  local http=http_$name
  certify "$name" "$address"
  {
    sed '/^\[/,$d' "$DIR/dispatcher.toml"
    printf '[dispatcher]\nlisten = ["%s"]\nlisteners = [\n' "$address:$sip"
    printf '  { transport = "%s", bind = "%s" },\n' tls "$address:$tls" ws "$address:$ws" wss "$address:$wss"
    printf ']\ncert = "%s.crt"\nkey = "%s.key"\ninner = "%s"\n' "$folder/$name" "$folder/$name" "$inner:$(free_port)"
    grep '^directory' "$DIR/dispatcher.toml"
    printf '[http]\nlisten = "%s"\n' "${!http}"
  } >"$folder/$name.toml"
  run_dispatcher "$name" "${@:5}"
}

# Starts it, or starts it again.
run_dispatcher() { # NAME [COMMAND...]
  local name=$1 http=http_$1 deadline=$((SECONDS + PATIENCE))
  NO_COLOR=1 "${@:2}" "$(binary)" dispatcher --config "$folder/$name.toml" >>"$folder/$name.log" 2>&1 &
  PIDS+=("$!")
  printf -v "pid_$name" '%s' "$!"
  disown # The shell has nothing to say when it is killed.
  until curl -fsS "http://${!http}/readyz" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "dispatcher $name does not serve: $(tail -n 3 "$folder/$name.log")"
    sleep 0.1
  done
}

free_ports() { # COUNT
  local n
  for ((n = 0; n < $1; n++)); do free_port; done | paste -sd' '
}

# The binary that local.sh has settled on.
binary() {
  sed -n 's/^BIN=//p' "$DIR/cluster"
}

certify() { # NAME ADDRESS
  local at=$folder/$1
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$at.key" -out "$at.csr" 2>/dev/null
  openssl x509 -req -in "$at.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 2 \
    -extfile <(printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth\n' "$2") -out "$at.crt" 2>/dev/null
}
