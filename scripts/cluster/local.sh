#!/usr/bin/env bash
# A cluster of separate processes on this machine, to be killed and paused at will: what `vedette up` starts in one
# process, each role in its own. Every inner socket is on loopback unless INNER says otherwise; nothing needs root. Needs
# Linux, bash and coreutils.
#
# All that is known of a cluster lies in its folder: `cluster` (addresses and secrets, chosen at the first start and
# kept), a TOML file, a log and a pid file for each process, and the managers' data.
set -euo pipefail

usage() {
  cat <<'EOF'
Usage: local.sh COMMAND

  start [N]     start N managers (default 3), a dispatcher with HTTP, and an auth-adapter; returns when they serve
  stop          end them all, in an orderly way; their data stays in DIR
  renew         a new certificate for each process; those that run take them up (with TLS=1)
  status        the processes, and what `vedette ctl status` says
  kill ID       kill -9 of a manager
  restart ID    start a manager again (ending it first if it runs); returns when it has caught up with its leader
  pause ID      SIGSTOP
  resume ID     SIGCONT; returns when it has caught up

ID is a manager's number, or `leader`: the leader of group 1.

From the environment, at `start`; what is not given is as it was at the last start in DIR:
  DIR=FOLDER                     where everything is kept [${XDG_RUNTIME_DIR:-/tmp}/vedette-local-UID]
  SIP=ADDR:PORT                  where phones reach the dispatcher [127.0.0.1:5060]
  HTTP=ADDR:PORT                 the HTTP API [127.0.0.1:8080]
  DOMAIN=NAME                    the domain served [vedette.test]
  AUTH=demo|open|accounts:FILE|billing:URL
                                 alice, bob and carol; nobody is asked for a password; an accounts file; a billing
                                 server that speaks the contract [demo]
  INNER=ADDR                     where the processes reach each other, for dispatchers on other hosts too [127.0.0.1]
  TLS=0|1                        whether the processes reach each other by mutual TLS; needs openssl [0]
  BIN=FILE                       the vedette binary [built by cargo build --release]; also at `restart`

Exit status: 0 done, 1 not done, 2 wrong usage.
EOF
}

readonly GROUP=1     # whose leader `leader` means
readonly PATIENCE=60 # seconds until a start that does not serve has failed
readonly GRACE=10    # seconds until an orderly end is no longer waited for
readonly DIR=${DIR:-${XDG_RUNTIME_DIR:-/tmp}/vedette-local-$UID}
# What is kept in the file `cluster`.
readonly SETTINGS=(
  BIN SIP HTTP DOMAIN AUTH INNER TLS SECRET TOKEN MANAGERS SIP_PORTS GRPC_PORTS PROBE_PORTS INNER_PORT AUTH_PORT
)

main() {
  local command=${1-} id=${2-}
  declare -gA asked=([BIN]=${BIN-})
  local name
  for name in SIP HTTP DOMAIN AUTH INNER TLS; do asked[$name]=${!name-}; done
  load
  case $command in
    start) start "$id" ;;
    stop) stop ;;
    status) born && status ;;
    renew) born && renew ;;
    kill | restart | pause | resume)
      born
      id=$(manager "$id")
      "${command}_manager" "$id"
      ;;
    -h | --help | help) usage ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
}

# --- the cluster ------------------------------------------------------------------------------------------------------

start() { # [N]
  [[ -d $DIR ]] || { mkdir -p "$(dirname "$DIR")" && mkdir -m 700 "$DIR"; }
  [[ -O $DIR ]] || fail "$DIR belongs to somebody else"
  choose "$1"
  local process
  for process in $(processes); do
    [[ -z $(pid_of "$process") ]] || fail "$process is running already in $DIR (stop ends it)"
  done
  keep
  for process in $(processes); do
    write_toml "$process" >"$DIR/$process.toml"
    launch "$process"
  done
  if ! until_true all_serve "the cluster did not get ready"; then
    stop
    exit 1
  fi
  echo "Ready: $MANAGERS managers, SIP on $SIP, HTTP on http://$HTTP, accounts: $AUTH, everything in $DIR"
  echo "Try: VEDETTE_TOKEN=$TOKEN $BIN ctl --api http://$HTTP status"
}

stop() {
  local managers
  # The edge first, while there are still managers to answer what is under way.
  end dispatcher
  read -ra managers <<<"$(names manager)"
  end "${managers[@]}"
  end auth
}

status() {
  local process pid state failed=0
  for process in $(processes); do
    pid=$(pid_of "$process")
    state=alive
    if [[ -z $pid ]]; then
      state=gone failed=1
    elif is_paused "$pid"; then
      state=paused
    fi
    printf '%-12s %-8s %s\n' "$process" "${pid:--}" "$state"
  done
  echo
  ctl status || failed=1
  return $failed
}

renew() {
  [[ $TLS == 1 ]] || fail "the processes speak no TLS (start with TLS=1)"
  local process
  for process in $(processes); do issue "$process"; done
}

kill_manager() {
  local pid
  pid=$(running "$1")
  kill -KILL "$pid"
  until_gone "manager-$1"
}

restart_manager() {
  end "manager-$1"
  launch "manager-$1"
  await_manager "$1"
}

pause_manager() {
  local pid
  pid=$(running "$1")
  kill -STOP "$pid"
}

resume_manager() {
  local pid
  pid=$(running "$1")
  kill -CONT "$pid"
  await_manager "$1"
}

await_manager() { # NUMBER
  waiting_for=manager-$1
  goal=()
  until_true has_caught_up "manager-$1 did not catch up" || exit 1
}

# --- what the cluster is ----------------------------------------------------------------------------------------------

load() {
  local name value
  for name in "${SETTINGS[@]}"; do printf -v "$name" ''; done
  if [[ -f $DIR/cluster ]]; then
    while IFS='=' read -r name value; do printf -v "$name" '%s' "$value"; done <"$DIR/cluster"
  fi
  [[ -z ${asked[BIN]} ]] || BIN=$(realpath "${asked[BIN]}")
}

born() {
  [[ -n $MANAGERS ]] || fail "there is no cluster in $DIR (start makes one)"
}

# Settles what the cluster is, from what was asked for, what was kept, and the defaults.
choose() { # [N]
  local name
  [[ ${1:-3} =~ ^[1-7]$ ]] || fail "N is a number of managers, 1 to 7, not \"$1\""
  [[ -z $MANAGERS || ${1:-$MANAGERS} == "$MANAGERS" ]] ||
    fail "$DIR was born with $MANAGERS managers: start it without a number, or choose another DIR"
  : "${MANAGERS:=${1:-3}}"
  for name in SIP HTTP DOMAIN AUTH INNER TLS; do
    [[ -z ${asked[$name]} ]] || printf -v "$name" '%s' "${asked[$name]}"
  done
  : "${SIP:=127.0.0.1:5060}" "${HTTP:=127.0.0.1:8080}" "${DOMAIN:=vedette.test}"
  : "${AUTH:=demo}" "${INNER:=127.0.0.1}" "${TLS:=0}"
  : "${SECRET:=$(random_hex)}" "${TOKEN:=$(random_hex)}"
  [[ -n $SIP_PORTS ]] || choose_ports
  choose_accounts
  choose_certificates
  [[ -n $BIN ]] || build
  [[ -x $BIN ]] || fail "BIN=$BIN is no program"
}

keep() {
  local name
  for name in "${SETTINGS[@]}"; do printf '%s=%s\n' "$name" "${!name}"; done >"$DIR/cluster"
  chmod 600 "$DIR/cluster"
}

# Inner ports must stay as they are: the routes of dialogs name the dispatcher's, and the list of members the managers'.
choose_ports() {
  local ports=() port
  while ((${#ports[@]} < 3 * MANAGERS + 2)); do
    # Below the ports that systems give to outgoing connections: one of those could sit there at the next start.
    port=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
    [[ " ${ports[*]} " == *" $port "* ]] || is_taken "$port" || ports+=("$port")
  done
  INNER_PORT=${ports[0]} AUTH_PORT=${ports[1]}
  SIP_PORTS=${ports[*]:2:MANAGERS}
  GRPC_PORTS=${ports[*]:2+MANAGERS:MANAGERS}
  PROBE_PORTS=${ports[*]:2+2*MANAGERS:MANAGERS}
}

choose_accounts() {
  local name
  case $AUTH in
    open) ;;
    demo)
      for name in alice bob carol; do
        printf '[[account]]\nuri = "sip:%s@%s"\npassword = "%spw"\n' "$name" "$DOMAIN" "$name"
      done >"$DIR/accounts.toml"
      ;;
    accounts:*) AUTH=accounts:$(realpath -e "${AUTH#accounts:}") || exit 1 ;;
    billing:http*) ;;
    *) fail "AUTH is demo, open, accounts:FILE or billing:URL, not \"$AUTH\"" ;;
  esac
}

# One CA, and a certificate for each process, which the next start uses again. A deleted one is made anew.
choose_certificates() {
  local process
  case $TLS in
    0) return ;;
    1) command -v openssl >/dev/null || fail "TLS=1 needs openssl" ;;
    *) fail "TLS is 0 or 1, not \"$TLS\"" ;;
  esac
  [[ -d $DIR/tls ]] || mkdir -m 700 "$DIR/tls"
  [[ -f $DIR/tls/ca.crt ]] || quietly openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
    -subj "/CN=local.sh $(random_hex)" -keyout "$DIR/tls/ca.key" -out "$DIR/tls/ca.crt"
  for process in $(processes); do
    [[ -f $DIR/tls/$process.crt ]] || issue "$process"
  done
}

# Key and certificate are each replaced at once: a process that runs takes them up.
issue() { # PROCESS
  local at=$DIR/tls/$1
  quietly openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
    -keyout "$at.key.new" -out "$at.csr"
  quietly openssl x509 -req -in "$at.csr" -CA "$DIR/tls/ca.crt" -CAkey "$DIR/tls/ca.key" -CAcreateserial -days 365 \
    -extfile <(printf 'subjectAltName=IP:%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$INNER") -out "$at.crt.new"
  mv "$at.key.new" "$at.key"
  mv "$at.crt.new" "$at.crt"
  rm "$at.csr"
}

quietly() { # COMMAND
  local said
  said=$("$@" 2>&1) || fail "$1: $said"
}

build() {
  local root
  root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
  say "building the release binary (BIN=FILE would name one that is built)"
  (cd "$root" && cargo build --release --locked -p vedette) || exit 1
  BIN=${CARGO_TARGET_DIR:-$root/target}/release/vedette
}

# Everything that belongs to the cluster, in the order of its start.
processes() {
  [[ $AUTH == open ]] || echo auth
  names manager
  echo dispatcher
}

names() { # ROLE
  local n all=()
  for ((n = 1; n <= MANAGERS; n++)); do all+=("$1-$n"); done
  echo "${all[*]}"
}

# The one place that knows the keys of the configuration (crates/vedette/vedette.toml).
write_toml() { # PROCESS
  local n sip grpc probe members='' addresses='' auth=http://$INNER:$AUTH_PORT accounts=$DIR/accounts.toml
  [[ $TLS != 1 ]] || auth=https://$INNER:$AUTH_PORT
  read -ra sip <<<"$SIP_PORTS"
  read -ra grpc <<<"$GRPC_PORTS"
  read -ra probe <<<"$PROBE_PORTS"
  [[ $AUTH != open ]] || auth=open
  [[ $AUTH != accounts:* ]] || accounts=${AUTH#accounts:}
  for ((n = 1; n <= MANAGERS; n++)); do
    members+="  { name = \"manager-$n\", grpc = \"$INNER:${grpc[n - 1]}\" },"$'\n'
    addresses+="\"$INNER:${grpc[n - 1]}\", "
  done
  n=${1#manager-}
  printf 'domains = ["%s"]\nsecret = "%s"\n\n' "$DOMAIN" "$SECRET"
  case $1 in
    auth)
      printf '[auth]\nlisten = "%s:%s"\n' "$INNER" "$AUTH_PORT"
      case $AUTH in
        billing:*) printf 'billing = "%s"\n' "${AUTH#billing:}" ;;
        *) printf 'accounts = "%s"\n' "$accounts" ;;
      esac
      ;;
    manager-*)
      printf '[manager]\nname = "manager-%s"\nsip = "%s:%s"\ngrpc = "%s:%s"\ndata = "%s"\nauth = "%s"\n' \
        "$n" "$INNER" "${sip[n - 1]}" "$INNER" "${grpc[n - 1]}" "$DIR/$1" "$auth"
      printf 'members = [\n%s]\n\n[http]\nlisten = "127.0.0.1:%s"\n' "$members" "${probe[n - 1]}"
      ;;
    dispatcher)
      printf '[dispatcher]\nlisten = ["%s"]\ninner = "%s:%s"\ndirectory = [%s]\n\n' \
        "$SIP" "$INNER" "$INNER_PORT" "$addresses"
      printf '[http]\nlisten = "%s"\nmanagers = [%s]\ntoken = "%s"\n' "$HTTP" "$addresses" "$TOKEN"
      ;;
  esac
  [[ $TLS != 1 ]] || printf '\n[tls]\ncert = "%s.crt"\nkey = "%s.key"\nca = "%s/ca.crt"\n' \
    "$DIR/tls/$1" "$DIR/tls/$1" "$DIR/tls"
}

# --- processes --------------------------------------------------------------------------------------------------------

# Starts a process in a group of its own, so that a Ctrl-C in this terminal is not for it.
launch() { # PROCESS
  (
    set -m
    NO_COLOR=1 nohup "$BIN" "${1%-*}" --config "$DIR/$1.toml" </dev/null >>"$DIR/$1.log" 2>&1 &
    echo "$! $(birth $!)" >"$DIR/$1.pid"
  )
}

# The pid of a process that we started, if it still is that process and not another one with its number.
pid_of() { # PROCESS
  local pid='' at=''
  [[ ! -f $DIR/$1.pid ]] || read -r pid at <"$DIR/$1.pid" || true
  [[ -z $at || $(birth "$pid") != "$at" ]] || echo "$pid"
}

# When a process was born, in ticks since the machine was; nothing if there is none, or a dead one that nobody awaited.
birth() { # PID
  local fields
  read -ra fields < <(process_fields "$1") || return 0
  [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}

is_paused() { # PID
  local state
  read -r state _ < <(process_fields "$1") && [[ $state == T ]]
}

# /proc/PID/stat from its third field on: before it stands the program's name, which may hold anything.
process_fields() { # PID
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) && echo "${stat##*) }"
}

running() { # NUMBER
  local pid
  pid=$(pid_of "manager-$1")
  [[ -n $pid ]] || fail "manager-$1 does not run"
  echo "$pid"
}

# Ends processes, those that do not want to by force.
end() { # PROCESS...
  local process pid
  for process; do
    pid=$(pid_of "$process")
    # A paused process hears of the signal when it goes on.
    [[ -z $pid ]] || { kill -TERM "$pid" && kill -CONT "$pid"; } 2>/dev/null || true
  done
  for process; do until_gone "$process"; done
}

until_gone() { # PROCESS
  local pid deadline=$((SECONDS + GRACE))
  while pid=$(pid_of "$1") && [[ -n $pid ]]; do
    if ((SECONDS >= deadline)); then
      say "$1 did not end within $GRACE s and is killed"
      kill -KILL "$pid" 2>/dev/null || true
      deadline=$((SECONDS + GRACE))
    fi
    sleep 0.05
  done
  rm -f "$DIR/$1.pid"
}

# Waits until a condition holds; not for long when a process that was started has ended.
until_true() { # CONDITION COMPLAINT
  local deadline=$((SECONDS + PATIENCE)) process
  until "$1"; do
    for process in $(processes); do
      if [[ -f $DIR/$process.pid && -z $(pid_of "$process") ]]; then
        complain "$process has ended by itself" "$process"
        rm -f "$DIR/$process.pid"
        return 1
      fi
    done
    if ((SECONDS >= deadline)); then
      complain "$2 within $PATIENCE s, waiting for $waiting_for" "$waiting_for"
      return 1
    fi
    sleep 0.1
  done
}

complain() { # COMPLAINT PROCESS
  say "$1; $DIR/$2.log ends with:"
  tail -n 3 "$DIR/$2.log" >&2
}

# --- questions --------------------------------------------------------------------------------------------------------

all_serve() {
  for waiting_for in $(processes); do
    [[ $waiting_for == auth ]] || serves "$waiting_for" || return 1
  done
  [[ -n $(leader) ]]
}

# Whether a process says on /readyz that it may be sent requests.
serves() { # PROCESS
  local address=$HTTP ports code
  if [[ $1 == manager-* ]]; then
    read -ra ports <<<"$PROBE_PORTS"
    address=127.0.0.1:${ports[${1#manager-} - 1]}
  fi
  (
    exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
    read -r -t 2 _ code _ <&3
    [[ $code == 200 ]]
  ) 2>/dev/null
}

is_taken() { # PORT
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Whether the manager that is waited for serves, and has applied all that its leaders had committed at our last look.
has_caught_up() {
  serves "$waiting_for" || return 1
  local group node role term committed applied seen=0 behind=0
  local -A terms=() next=()
  while read -r group node role _ term _ committed applied _; do
    if [[ $role == leader ]] && ((term > ${terms[$group]:-0})); then
      terms[$group]=$term next[$group]=$committed
    fi
    if [[ $node == "$waiting_for" ]]; then
      seen=1
      ((applied >= ${goal[group]:-applied + 1})) || behind=1
    fi
  done < <(groups)
  goal=()
  for group in "${!next[@]}"; do goal[group]=${next[$group]}; done
  ((seen && !behind))
}

# Rows of "group node role leader term last-log committed applied snapshot"; the system group is 0.
groups() {
  local row
  ctl status 2>/dev/null | while read -ra row; do
    case ${row[2]-} in leader | follower | candidate | learner | stopped) echo "${row[*]/#system/0}" ;; esac
  done || true
}

# The number of the manager that leads; of two that think so, the later one. Nothing while there is none.
leader() {
  local group node role term newest=-1 found=
  while read -r group node role _ term _; do
    if [[ $group == "$GROUP" && $role == leader ]] && ((term > newest)); then
      newest=$term found=${node#manager-}
    fi
  done < <(groups)
  echo "$found"
}

manager() { # ID
  local id=$1
  if [[ $id == leader ]]; then
    id=$(leader)
    [[ -n $id ]] || fail "nobody leads group $GROUP at the moment"
  fi
  if [[ ! $id =~ ^[1-7]$ ]] || ((id > MANAGERS)); then
    fail "ID is a manager's number, 1 to $MANAGERS, or leader, not \"$id\""
  fi
  echo "$id"
}

ctl() {
  VEDETTE_TOKEN=$TOKEN "$BIN" ctl --api "http://$HTTP" "$@"
}

random_hex() {
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

say() {
  echo "local.sh: $*" >&2
}

fail() {
  say "$*"
  exit 1
}

main "$@"
