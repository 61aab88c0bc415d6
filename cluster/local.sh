#!/usr/bin/env bash
# A Ray cluster on this machine, to try things out: a head and workers, on ports of their own, with a token.
set -euo pipefail
umask 077

readonly START_S=90 STOP_S=6 OTHERS_S=120 FIRST_PORT=20100 LAST_PORT=29900 PORTS_OF_A_NODE=20
readonly MARK=RAYTUNER_LOCAL_CLUSTER
readonly HOST=127.0.0.2 # loopback; 127.0.0.1 itself Ray would replace by an address that others can reach

usage() {
  cat <<END
usage: ${0##*/} COMMAND [OPTIONS]

  up      start a head and workers, and say how to use them
  status  say what runs; exit code 1 if that is not all
  env     print what a shell needs: eval "\$(${0##*/} env)"
  down    stop the nodes that up has started, and nothing else

  --workers N  the number of workers (up; 2)
  --cpus N     the trials that a worker runs at once (up; 1)
  --dir DIR    where the cluster keeps its files (\$RAYTUNER_CLUSTER_DIR, else /tmp/raycluster-UID)
END
}

fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

mistake() {
  printf 'error: %s; see %s --help\n' "$*" "${0##*/}" >&2
  exit 2
}

# --- what is there

# The sessions of all that the cluster has started, jobs too. Each node and job has a session of its own, and all have
# our mark in their environment, but for those processes of Ray that write their titles over it. Never the caller's own.
sessions() {
  local marked
  marked=$(grep -lszxF -- "$MARK=$dir" /proc/[0-9]*/environ | cut -d / -f 3 | paste -s -d ,) || true
  [[ -z $marked ]] || ps -o sid= -p "$marked" | awk -v own="$(ps -o sid= -p $$)" '$1 != own + 0' | tr -d ' ' | sort -u
}

# Whether any process of some sessions is left; what only waits to be reaped is not.
runs() {
  ps -o stat= -s "$1" | awk '!/^Z/ { found = 1 } END { exit !found }'
}

# The nodes that the head counts as alive.
counted() {
  "${with_token[@]}" timeout 20 ray status --address "$address" 2>/dev/null | grep -cE '^ *[0-9]+ node_' || true
}

listening() {
  local ports
  ports=$(awk '$4 == "0A" { sub(/.*:/, "", $2); print $2 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null)
  grep -qx "$(printf '%04X' "$1")" <<<"$ports"
}

# The first of enough ports in a row on which nobody listens.
free_ports() {
  local first port needed=$((PORTS_OF_A_NODE * (workers + 1)))
  for ((first = FIRST_PORT; first + needed <= LAST_PORT; first += needed)); do
    for ((port = first; port < first + needed; port++)); do
      if listening "$port"; then continue 2; fi
    done
    printf '%s\n' "$first"
    return
  done
  fail "no $needed free ports in a row between $FIRST_PORT and $LAST_PORT"
}

# --- the folder: the token, what runs, logs, and what Ray writes

make_folder() {
  mkdir -m 0700 -- "$dir" 2>/dev/null || true
  if [[ ! -d $dir || -L $dir || ! -O $dir || $(stat -c %a -- "$dir") != 700 ]]; then
    fail "$dir is no folder that is yours and closed to others (mode 0700); name another by --dir"
  fi
}

# One at a time: a second up or down must not meet a first one halfway.
lock() {
  exec {held}<"$dir"
  flock -n "$held" || fail "another ${0##*/} is at work in $dir"
}

# Until the nodes listen: two clusters that start at once must not choose the same ports.
lock_ports() {
  exec {choosing}</tmp
  flock -w "$OTHERS_S" "$choosing" || fail "others have been starting clusters for $OTHERS_S s"
  SECONDS=0
}

# Before Ray makes one that all can read. Yours, if the environment has one.
make_token() {
  local token=${RAY_AUTH_TOKEN:-} path=${RAY_AUTH_TOKEN_PATH:-}
  if [[ -z $token && -n $path && $path != "$dir/token" ]]; then
    [[ -r $path ]] || fail "RAY_AUTH_TOKEN_PATH: $path cannot be read"
    [[ $(stat -L -c %a -- "$path") == *00 ]] || fail "RAY_AUTH_TOKEN_PATH: others can read $path; chmod 600 $path"
    token=$(<"$path")
  fi
  [[ -n $token ]] || token=$(head -c 32 /dev/urandom | od -A n -t x1 -v | tr -d ' \n')
  printf '%s' "$token" >"$dir/token"
}

empty_folder() {
  rm -rf -- "$dir/ray" "$dir/logs" "$dir/nodes" "$dir/cluster" "$dir/token"
}

# --- nodes

# start NAME FIRST_PORT ARGUMENT...: a node in a session of its own, so that all its processes can be found.
start() {
  local name=$1 port=$2
  shift 2
  "${with_token[@]}" "$MARK=$dir" AUTOSCALER_METRIC_PORT=$((port + 9)) DASHBOARD_METRIC_PORT=$((port + 10)) \
    setsid nohup ray start --block --temp-dir "$dir/ray/$name" --disable-usage-stats \
    --node-ip-address "$HOST" --object-store-memory 500000000 --min-worker-port 0 --max-worker-port 0 \
    --node-manager-port $((port + 3)) --object-manager-port $((port + 4)) \
    --dashboard-agent-listen-port $((port + 5)) --dashboard-agent-grpc-port $((port + 6)) \
    --runtime-env-agent-port $((port + 7)) --metrics-export-port $((port + 8)) \
    "$@" </dev/null >"$dir/logs/$name" 2>&1 {held}<&- {choosing}<&- &
  printf '%s %s\n' "$!" "$name" >>"$dir/nodes"
}

# await N: until the head counts N nodes.
await() {
  local session name
  until [[ $(counted) == "$1" ]]; do
    while read -r session name; do
      if ! runs "$session"; then
        tail -n 15 -- "$dir/logs/$name" >&2
        fail "the node $name did not start; its last lines are above"
      fi
    done <"$dir/nodes"
    ((SECONDS < START_S)) || fail "after $START_S s there are not yet $1 nodes; the machine may be too busy"
    sleep 0.2
  done
}

stop_nodes() {
  local all
  all=$(sessions | paste -s -d ,)
  [[ -n $all ]] || return 0
  pkill -TERM -s "$all" -f 'ray start --block' || true # each ends what it has started
  if still_runs "$all" "$STOP_S"; then
    pkill -KILL -s "$all" || true
    if still_runs "$all" "$STOP_S"; then fail "these processes do not end: $(pgrep -s "$all" | paste -s -d ' ')"; fi
  fi
}

# still_runs SESSIONS SECONDS: whether something is left after so long.
still_runs() {
  local until=$((SECONDS + $2))
  while runs "$1"; do
    ((SECONDS < until)) || return 0
    sleep 0.2
  done
  return 1
}

# --- commands

up() {
  make_folder
  lock
  if [[ -n $(sessions) ]]; then
    fail "a cluster runs in $dir already: ${0##*/} status, or first ${0##*/} down"
  fi
  empty_folder # of what did not end by down, as when the machine was switched off
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  trap 'undo' EXIT
  make_token
  mkdir -- "$dir/logs" "$dir/ray"
  lock_ports
  local first
  first=$(free_ports)
  address=$HOST:$first
  dashboard=http://127.0.0.1:$((first + 1))
  printf '%s %s %s %s\n' "$address" "$dashboard" "$workers" "$cpus" >"$dir/cluster"
  start head "$first" --head --port "$first" --num-cpus 0 --ray-client-server-port $((first + 2)) \
    --dashboard-host 127.0.0.1 --dashboard-port $((first + 1))
  await 1
  for ((worker = 1; worker <= workers; worker++)); do
    start "w$worker" $((first + worker * PORTS_OF_A_NODE)) --address "$address" --num-cpus "$cpus"
  done
  await $((workers + 1))
  listening $((first + 1)) || fail "the head has no dashboard, which takes searches in; pip install 'raytuner[cluster]'"
  trap - EXIT INT TERM HUP
  say_next
}

undo() {
  trap '' INT TERM HUP
  stop_nodes
  empty_folder
  rmdir -- "$dir" 2>/dev/null || true # unless it holds something of yours
}

say_next() {
  cat <<END
Ray runs in $dir: a head and $workers workers, CPUs of each: $cpus
let this shell use it:  eval "\$($0 env$where)"
then search on it:      raytuner tune CONFIG --address $address
or hand it a search:    raytuner submit CONFIG --address $dashboard
what runs:              $0 status$where
stop it:                $0 down$where
END
}

read_cluster() {
  [[ -f $dir/cluster ]] || fail "no cluster in $dir; start one: ${0##*/} up"
  [[ -O $dir && -O $dir/cluster ]] || fail "$dir is not yours"
  read -r address dashboard workers cpus <"$dir/cluster"
}

status() {
  read_cluster
  local session name all=0 ours
  ours=$(sessions)
  while read -r session name; do
    if grep -qx "$session" <<<"$ours"; then printf '%-10s runs\n' "$name"; else printf '%-10s ended\n' "$name"; fi
  done <"$dir/nodes"
  all=$(counted)
  printf 'address    %s\ndashboard  %s\nnodes      %s of %s\n' "$address" "$dashboard" "$all" $((workers + 1))
  ((all == workers + 1))
}

env_lines() {
  read_cluster
  printf 'export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=%s/token RAY_ADDRESS=%s RAY_API_SERVER_ADDRESS=%s\n' \
    "$dir" "$address" "$dashboard"
  printf 'unset RAY_AUTH_TOKEN\n'
}

down() {
  if [[ ! -d $dir ]]; then
    printf 'no cluster in %s\n' "$dir"
    return
  fi
  make_folder
  lock
  undo
  printf 'stopped\n'
}

main() {
  local command=${1:-} tool
  case $command in
    up | status | env | down) shift ;;
    -h | --help) usage && exit ;;
    *) mistake "${command:-no command} is none of up, status, env, down" ;;
  esac
  dir=${RAYTUNER_CLUSTER_DIR:-/tmp/raycluster-$UID} where='' workers=2 cpus=1
  while (($#)); do
    [[ $# -ge 2 ]] || mistake "$1 needs a value, or is unknown"
    case $1 in
      --workers) workers=$2 ;;
      --cpus) cpus=$2 ;;
      --dir) dir=$2 where=" --dir $2" ;;
      *) mistake "unknown option $1" ;;
    esac
    shift 2
  done
  [[ $workers =~ ^([1-9]|1[0-9]|20)$ ]] || mistake "--workers $workers: a number from 1 to 20"
  [[ $cpus =~ ^[1-9][0-9]{0,2}$ ]] || mistake "--cpus $cpus: a number from 1 to 999"
  # Ray puts sockets into the folder, and the path of a socket has at most 107 characters.
  [[ $dir =~ ^/[A-Za-z0-9/_-]{1,27}$ ]] || mistake "--dir $dir: an absolute path of letters, digits, / _ -, at most 28"
  [[ $(uname -s) == Linux ]] || fail "Ray has clusters of several nodes on Linux only"
  for tool in flock pgrep pkill ps setsid timeout; do
    command -v "$tool" >/dev/null || fail "$tool is not installed (Debian: procps and util-linux)"
  done
  if [[ $command == up || $command == status ]] && ! command -v ray >/dev/null; then
    fail "ray is not installed, or its environment is not active; pip install 'raytuner[cluster]'"
  fi
  local settings
  mapfile -t settings < <(grep -v '^#' "$(dirname "${BASH_SOURCE[0]}")/ray.env")
  with_token=(env -u RAY_AUTH_TOKEN -u RAY_ADDRESS -u RAY_API_SERVER_ADDRESS "RAY_AUTH_TOKEN_PATH=$dir/token" "${settings[@]}")
  if [[ $command == env ]]; then command=env_lines; fi
  "$command"
}

main "$@"
