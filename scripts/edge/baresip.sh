#!/usr/bin/env bash
# Two baresip phones at two dispatchers watch each other, over UDP, TCP and TLS.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: baresip.sh

Starts three managers and two dispatchers on this machine, and a pair of baresip phones for each pair of transports;
alice at one dispatcher and bob at the other have each other as contacts. Exits with 0 if each phone saw the other come
online, go offline and come back. Needs baresip (1.0, as in Debian 12).

  BIN=FILE  the vedette binary [built by cargo build --release]
  KEEP=1    leaves the folder with configurations and logs; baresip's logs hold every message
USAGE
}

case ${1-} in
  '') ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

# shellcheck source=scripts/edge/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly SEES=10 # seconds until what a phone does not see has not come

main() {
  local modules pair
  modules=$(find /usr/lib /usr/local/lib -name presence.so -path '*baresip*' -printf '%h' -quit 2>/dev/null)
  if [[ -z $modules ]] || ! command -v baresip >/dev/null; then
    fail "baresip is not installed (apt-get install baresip-core)"
  fi
  begin
  ports_one=$(free_ports 4) ports_two=$(free_ports 4)
  start_dispatcher one 127.0.0.1 "$ports_one" 127.0.0.1
  start_dispatcher two 127.0.0.1 "$ports_two" 127.0.0.1
  for pair in udp:tls tls:tcp tcp:udp; do together "${pair%:*}" "${pair#*:}"; done
}

# alice over one transport at the first dispatcher, bob over the other one at the second.
together() { # TRANSPORT TRANSPORT
  local alice bob
  start_phone alice one "$1" bob && alice=$page
  start_phone bob two "$2" alice && bob=$page
  sees "alice over $1" "$alice" Online bob "and bob over $2 comes online"
  sees "bob over $2" "$bob" Online alice "and alice over $1 comes online"
  press "$bob" presence_offline
  sees "alice over $1" "$alice" Offline bob "that he goes offline"
  press "$bob" presence_online
  sees "alice over $1" "$alice" Online bob "and that he is back"
  press "$alice" presence_offline
  sees "bob over $2" "$bob" Offline alice "that she goes offline"
  end_phones
}

# Afterwards `page` is where it takes commands.
start_phone() { # USER DISPATCHER TRANSPORT CONTACT
  local at=$folder/$1-$3 ports=ports_$2 port tls
  read -r port tls _ <<<"${!ports}"
  [[ $3 != tls ]] || port=$tls
  mkdir -p "$at"
  page=127.0.0.1:$(free_port)
  {
    printf 'poll_method epoll\nnet_interface 127.0.0.1\nsip_listen 127.0.0.1:0\nsip_cafile %s\n' "$folder/ca.crt"
    printf 'module_path %s\nhttp_listen %s\n' "$modules" "$page"
    printf 'module_app %s.so\n' account contact presence httpd menu
  } >"$at/config"
  {
    printf '<sip:%s@%s;transport=%s>;auth_user=%s;auth_pass=%spw' "$1" "$DOMAIN" "$3" "$1" "$1"
    printf ';outbound="sip:127.0.0.1:%s;transport=%s";regint=60;pubint=60\n' "$port" "$3"
  } >"$at/accounts"
  printf '"%s" <sip:%s@%s>;presence=p2p\n' "$4" "$4" "$DOMAIN" >"$at/contacts"
  baresip -f "$at" -s </dev/null >"$at.log" 2>&1 &
  phones+=("$!")
  PIDS+=("$!")
}

press() { # PAGE COMMAND
  # It answers some commands with nothing at all.
  curl -fsS -m 1 "http://$1/?/$2" >/dev/null 2>&1 || true
}

sees() { # WHO PAGE STATE CONTACT WHAT
  local deadline=$((SECONDS + SEES)) listed
  until listed=$(curl -fsS -m 1 "http://$2/?/contacts" 2>/dev/null) && [[ $listed =~ $3[^$'\n']*\ $4\  ]]; do
    ((SECONDS < deadline)) || fail "$1 does not see $5: $listed"
    sleep 0.1
  done
  say "$1 sees $4 $3, $5"
}

end_phones() {
  local pid
  for pid in "${phones[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${phones[@]}"; do wait "$pid" || true; done
  phones=()
}

phones=()
main
