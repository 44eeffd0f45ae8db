#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every socket on which a process of a run listens: a run on this machine listens on loopback addresses only.
. "$(dirname "$0")/common.sh"
command -v ss >/dev/null || skip "ss (iproute2) is not here"
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 2000 # lasts until it is stopped
set_key job.json sweep '{"lr": [2e-3]}'
set_key job.json cluster.ranks_per_group 2

# tree PID: it and its descendants.
tree() {
  echo "$1"
  local child
  for child in $(pgrep -P "$1" || true); do tree "$child"; done
}
# listens PID...: "address:port program" of every listening TCP socket of these processes.
listens() {
  local pattern
  pattern=$(printf 'pid=%s,|' "$@")
  ss -Hltnp | grep -E "${pattern%|}" | awk '{print $4, $6}' || true
}
start() { # OUT COMMAND...: in the background, until some steps are done
  local out=$1
  shift
  "$@" out="$scratch/$out" >"$scratch/ran" 2>&1 &
  pid=$!
  wait_until 120 steps_done "$out" 11
}
stop() {
  kill -TERM $pid
  wait $pid && found=0 || found=$?
  [ "$found" = 75 ] || fail "SIGTERM gave exit $found, expected 75"
}
# only_loopback LEAST: of $found, the sockets.
only_loopback() {
  local open
  open=$(grep -vE '^(127\.[0-9.]+|\[::1\]):[0-9]+ ' <<<"$found" || true)
  [ -z "$open" ] || fail "listens beyond the loopback interface: $open"
  [ "$(grep -c . <<<"$found")" -ge "$1" ] || fail "at least $1 sockets expected, found: $found"
}

say "muster starts mpirun: coordinator, its metrics port, mpirun and both ranks"
start own muster run job.json cluster.metrics_port=0
mapfile -t all < <(tree $pid)
[ "${#all[@]}" -ge 4 ] || fail "muster, mpirun and two workers expected, found $(ps -o pid,args -p "${all[*]}")"
found=$(listens "${all[@]}")
echo "$found"
grep -q mpirun <<<"$found" || fail "mpirun's sockets are not seen"
only_loopback 3
stop

say "mpirun starts muster: coordinator and both ranks (the sockets of that mpirun are its user's)"
start attached mpirun -np 2 --oversubscribe muster run job.json
mapfile -t all < <(tree $pid | tail -n +2)
found=$(listens "${all[@]}")
echo "$found"
only_loopback 1
kill -USR1 $pid
wait $pid && found=0 || found=$?
[ "$found" = 75 ] || fail "SIGUSR1 gave exit $found, expected 75"
