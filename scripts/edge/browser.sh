#!/usr/bin/env bash
# Softphones in headless Chromium, over WebSocket and secure WebSocket, and a UDP phone at another dispatcher.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: browser.sh

A page with JsSIP, and one with SIP.js, registers as bob over ws and over wss, and watches alice, who publishes over UDP
at another dispatcher; the one with SIP.js publishes too, and alice watches bob. Exits with 0 if each saw the other.

  BIN=FILE  the vedette binary [built by cargo build --release]
  KEEP=1    leaves the folder with configurations and logs

Needs chromium, npm (it fetches JsSIP, SIP.js and esbuild into a temporary folder), and certutil (libnss3-tools) to make
the browser trust a throw-away CA.
USAGE
}

case ${1-} in
  '') ;;
  -h | --help | help) usage && exit ;;
  *) usage >&2 && exit 2 ;;
esac

# shellcheck source=scripts/edge/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly LIBRARIES=(jssip@3.13.8 sip.js@0.21.2 esbuild@0.28.2)

main() {
  local one two tool library
  for tool in chromium npm certutil; do
    command -v "$tool" >/dev/null || fail "$tool is not there; see --help"
  done
  begin
  bundle
  trust
  one=$(free_ports 4) two=$(free_ports 4)
  start_dispatcher one 127.0.0.1 "$one" 127.0.0.1
  start_dispatcher two 127.0.0.1 "$two" 127.0.0.1
  local sip ws wss
  read -r _ _ ws wss <<<"$one"
  read -r sip _ <<<"$two"
  for library in jssip sip.js; do
    browse "$sip" "$library" "ws://127.0.0.1:$ws"
    browse "$sip" "$library" "wss://127.0.0.1:$wss"
  done
}

browse() { # SIP-PORT LIBRARY URL
  python3 "$edge/browser.py" "$DOMAIN" "$folder/page" "$@"
}

# The page and the libraries in one file.
bundle() {
  mkdir -p "$folder/npm" "$folder/page"
  npm install --silent --no-audit --no-fund --prefix "$folder/npm" "${LIBRARIES[@]}" >"$folder/npm.log" 2>&1 ||
    fail "npm cannot fetch the libraries: $(tail -n 3 "$folder/npm.log")"
  cp "$edge/browser.js" "$folder/npm/page.js"
  (cd "$folder/npm" && node_modules/.bin/esbuild page.js --bundle --log-level=error --outfile="$folder/page/page.js")
  echo '<!doctype html><title>softphone</title><script src="page.js"></script>' >"$folder/page/index.html"
}

# The folder of the page is the browser's home.
trust() {
  mkdir -p "$folder/page/.pki/nssdb"
  certutil -d "sql:$folder/page/.pki/nssdb" -N --empty-password
  certutil -d "sql:$folder/page/.pki/nssdb" -A -t C,, -n throw-away -i "$folder/ca.crt"
}

main
