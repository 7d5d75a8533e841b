# shellcheck shell=bash
# What the scripts of this folder share: a cluster of three managers in a folder of its own, and dispatchers beside it that
# phones reach over every transport. To be sourced. Needs scripts/cluster/local.sh, python3 (3.11), openssl and curl; BIN
# names the vedette binary, else one is built.

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

# A dispatcher of the name, at the address: afterwards its SIP port (UDP and TCP), and those of TLS, WS and WSS, stand in
# port_NAME, tls_NAME, ws_NAME and wss_NAME, and its process in pid_NAME. What follows the address runs it.
start_dispatcher() { # NAME ADDRESS [COMMAND...]
  local name=$1 address=$2 sip tls ws wss http
  shift 2
  sip=$(free_port) tls=$(free_port) ws=$(free_port) wss=$(free_port) http=$(free_port)
  certify "$name" "$address"
  {
    sed '/^\[/,$d' "$DIR/dispatcher.toml"
    printf '[dispatcher]\nlisten = ["%s:%s"]\ncert = "%s.crt"\nkey = "%s.key"\ninner = "127.0.0.1:%s"\n' \
      "$address" "$sip" "$folder/$name" "$folder/$name" "$(free_port)"
    printf 'listeners = [{ transport = "%s", bind = "%s" }, { transport = "%s", bind = "%s" }, { transport = "%s", bind = "%s" }]\n' \
      tls "$address:$tls" ws "$address:$ws" wss "$address:$wss"
    grep '^directory' "$DIR/dispatcher.toml"
    printf '[http]\nlisten = "127.0.0.1:%s"\n' "$http"
  } >"$folder/$name.toml"
  run_dispatcher "$name" "$http" "$@"
  printf -v "port_$name" '%s' "$sip"
  printf -v "tls_$name" '%s' "$tls"
  printf -v "ws_$name" '%s' "$ws"
  printf -v "wss_$name" '%s' "$wss"
  printf -v "http_$name" '%s' "$http"
}

run_dispatcher() { # NAME HTTP-PORT [COMMAND...]
  local name=$1 http=$2 deadline=$((SECONDS + PATIENCE))
  shift 2
  NO_COLOR=1 "$@" "$(binary)" dispatcher --config "$folder/$name.toml" >>"$folder/$name.log" 2>&1 &
  PIDS+=("$!")
  printf -v "pid_$name" '%s' "$!"
  until curl -fsS "http://127.0.0.1:$http/readyz" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "dispatcher $name does not serve: $(tail -n 3 "$folder/$name.log")"
    sleep 0.1
  done
}

# The binary that local.sh has settled on.
binary() {
  sed -n 's/^BIN=//p' "$DIR/cluster"
}

certify() { # NAME ADDRESS
  local at=$folder/$1
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$at.key" -out "$at.csr" 2>/dev/null
  openssl x509 -req -in "$at.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -days 2 \
    -extfile <(printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth\n' "$2") -out "$at.crt" 2>/dev/null
}
