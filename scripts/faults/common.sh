# shellcheck shell=bash
# What the fault scripts share: a cluster of three processes in a folder of its own, and publications to it.
# To be sourced. Needs scripts/cluster/local.sh, and python3; BIN names the vedette binary, else one is built.

export PYTHONDONTWRITEBYTECODE=1 # nothing is left beside the scripts
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
local_sh=$here/../cluster/local.sh
# shellcheck source=scripts/ports.sh
. "$here/../ports.sh"

# Starts the cluster; afterwards SIP, DOMAIN and DIR say where it is.
start_cluster() {
  SIP=127.0.0.1:$(free_port) HTTP=127.0.0.1:$(free_port) DOMAIN=vedette.test AUTH=${AUTH-open}
  export DIR SIP HTTP DOMAIN AUTH
  "$local_sh" start 3
}

# Lines "user status entity-tag" for NAME-0 to NAME-(COUNT-1).
publish() { # NAME COUNT
  python3 "$here/publish.py" "$SIP" "$DOMAIN" "$1" "$2"
}

refresh() { # FILE
  python3 "$here/publish.py" "$SIP" "$DOMAIN" refresh <"$1"
}

with_status() { # STATUS FILE
  awk -v status="$1" '$2 == status' "$2" | wc -l
}

summary() { # FILE
  awk '{ n[$2]++ } END { for (status in n) printf "%s x %d  ", status, n[status] }' "$1"
}

pid_of() { # NUMBER
  local pid
  read -r pid _ <"$DIR/manager-$1.pid"
  echo "$pid"
}

# Starts managers again, which may have ended by themselves, as a manager does that cannot write.
restart() { # NUMBER...
  local n
  for n; do kill -0 "$(pid_of "$n")" 2>/dev/null || rm -f "$DIR/manager-$n.pid"; done
  for n; do "$local_sh" restart "$n"; done
}

# Refreshes all that was ever answered 200: whoever has lost one answers 412.
check_kept() { # FILE
  refresh "$1" >"$DIR/refreshed"
  say "of $(with_status 200 "$1") acknowledged publications refreshed: $(summary "$DIR/refreshed")"
  [[ $(with_status 200 "$DIR/refreshed") == "$(with_status 200 "$1")" ]] ||
    fail "an acknowledged publication is gone: $(awk '$2 != 200' "$DIR/refreshed" | head -n 3)"
}

say() { echo "$(basename "$0"): $*"; }

fail() {
  say "FAILED: $*" >&2
  exit 1
}
