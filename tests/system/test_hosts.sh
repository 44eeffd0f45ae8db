#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Workers on several hosts: what they make equals a run on one machine; hosts that do not answer, host files with faults, a cut link.
. "$(dirname "$0")/common.sh"
. "$here/hosts.sh"
make_hosts 3
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 20
set_key job.json sweep '{"lr": [2e-3]}'
set_key job.json cluster.ranks_per_group 2
set_key job.json cluster.heartbeat_timeout 4
expect 0 'bundle' muster run job.json out="$scratch/calm"
printf 'n1 slots=1 # the coordinator is here\n\nn2 slots=1 max_slots=4\n' >two
set_key job.json cluster.launcher '"mpirun"'
set_key job.json cluster.hostfile "\"$scratch/two\""
same_as_calm() {
  same_bytes calm/bundle/model.safetensors "$1"/bundle/model.safetensors
  same_bytes calm/table.md "$1"/table.md
}

say "host files and addresses with faults: exit 2, nothing is written"
refused=(muster run job.json out="$scratch/refused")
printf 'n1 slots=1\nn2 slot=1\n' >typo
expect 2 'typo:2: unknown option "slot=1"; a line is "name slots=N"' "${refused[@]}" cluster.hostfile=typo
printf 'n1 slots=four\n' >typo
expect 2 'typo:1: "slots=four": expected a number from 1 to' "${refused[@]}" cluster.hostfile=typo
printf 'n1,n2\n' >typo
expect 2 'typo:1: "n1,n2" is not a host name' "${refused[@]}" cluster.hostfile=typo
printf '# nobody\n' >typo
expect 2 'typo: contains no host' "${refused[@]}" cluster.hostfile=typo
expect 2 'cluster.hostfile: absent does not exist; give a file with a line "name slots=N" per host' "${refused[@]}" cluster.hostfile=absent
expect 2 '1 group of 4 ranks need 4 slots, the hosts have 2; add hosts or slots, or lower' "${refused[@]}" cluster.ranks_per_group=4 train.micro_batch=2
expect 2 '2 groups of 2 ranks need 4 slots' "${refused[@]}" cluster.groups=2
expect 2 'outside of a SLURM allocation the launcher needs one' "${refused[@]}" cluster.hostfile=null
expect 2 'the launcher "local" does not use it' "${refused[@]}" cluster.launcher=local
expect 2 'cluster.interface: this host has no interface, address or network "eth9"; it has .*eth0 10.77.0.1' on n1 "${refused[@]}" cluster.interface=eth9
expect 2 'network "10.78.0.0/16"' on n1 "${refused[@]}" cluster.interface=10.78.0.0/16
[ ! -e refused ] || fail "a refused job made its directory"

say "hosts that do not answer are named"
printf 'n1 slots=1\nn9 slots=1\n' >dead
expect 1 'host n9 is not reachable: .*No route to host' on n1 muster run job.json out="$scratch/dead-run" cluster.hostfile=dead
printf 'n1 slots=1\nmute slots=1\n' >dead
expect 1 "host mute is not reachable: .* did not answer within 15 s" on n1 muster run job.json out="$scratch/dead-run" cluster.hostfile=dead
printf 'n9 slots=1\nn1 slots=1\nn2 slots=1\n' >spare
expect -e 0 'warning: host n9 is not reachable' on n1 muster train job.json out="$scratch/dead-run" cluster.hostfile=spare

say "one group over two hosts; the coordinator listens at the address that they reach and nowhere else"
on n1 muster run job.json out="$scratch/spread" >"$scratch/ran" 2>&1 &
pid=$!
wait_until 120 steps_done spread 41
grep -q '"tcp://10.77.0.1:' spread/connection.json || fail "listens at $(grep endpoint spread/connection.json)"
port=$(grep -oE '10.77.0.1:[0-9]+' spread/connection.json)
listens=$(ip netns exec n1 ss -Hltn "sport = :${port#*:}" | awk '{print $4}')
[ "$listens" = "$port" ] || fail "listens at $listens, expected $port"
wait $pid || fail "ended with $?"
same_as_calm spread

say "hosts with another program, or without the run directory"
worker=$(dirname "$(command -v muster)")/muster-worker
{ cat "$worker"; echo another; } >other-worker
chmod +x other-worker
echo "mount --bind $scratch/other-worker $worker" >mounts-n2 # `ip netns exec` has a mount namespace of its own
expect 1 'host n2 runs another muster-worker \([0-9a-f]{12}\) than host n1' on n1 muster run job.json out="$scratch/doors"
echo "mount -t tmpfs none $scratch/doors" >mounts-n2
expect 1 'host n2 cannot see the run directory: .*doors/connection.json' on n1 muster run job.json out="$scratch/doors"
rm mounts-n2

say "two groups on hosts of their own"
printf 'n2 slots=2\nn3 slots=2\n' >three
set_key job.json sweep '{"lr": [2e-3, 4e-3]}'
expect 0 'bundle' muster run job.json out="$scratch/calm-two" cluster.launcher=local cluster.hostfile=null
on n1 muster run job.json out="$scratch/groups" cluster.hostfile=three cluster.groups=2 cluster.interface=10.77.0.0/24 >"$scratch/ran" 2>&1 &
pid=$!
wait_until 120 steps_done groups 41
for host in n1 n2 n3; do # nothing listens beyond the network of cluster.interface
  listens=$(ip netns exec $host ss -Hltnp | awk '{print $4, $6}')
  echo "$host: $listens"
  [ -n "$listens" ] || fail "no socket is seen on $host"
  open=$(grep -vE '^(127\.[0-9.]+|\[::1\]|10\.77\.0\.[0-9]+):[0-9]+ ' <<<"$listens" || true)
  [ -z "$open" ] || fail "$host listens beyond 10.77.0.0/24: $open"
done
wait $pid || fail "ended with $?"
same_bytes calm-two/bundle/model.safetensors groups/bundle/model.safetensors
same_bytes calm-two/table.md groups/table.md
for host in n2 n3; do grep '"group_started"' groups/events.jsonl | has "\"$host\"" || fail "no group ran on $host"; done
set_key job.json sweep '{"lr": [2e-3]}'

say "mpirun starts muster itself on two hosts"
expect 0 'bundle' on n1 mpirun -np 2 --host n1:1,n2:1 --bind-to none -x PATH -x ASAN_OPTIONS muster run job.json out="$scratch/attached" \
  cluster.hostfile=null cluster.launcher=local
same_as_calm attached

say "a link that is down for a while, but not for heartbeat_timeout: what was said meanwhile is said again, nobody dies"
printf 'n2 slots=1\n' >one
on n1 muster run job.json out="$scratch/pause" cluster.hostfile=one cluster.ranks_per_group=1 train.micro_batch=4 cluster.heartbeat_timeout=100 >"$scratch/ran" 2>&1 &
pid=$!
wait_until 120 steps_done pause 41
ip -n n2 link set eth0 down
sleep 14 # ZeroMQ gives the connection up after 10 s
before=$(steps pause)
ip -n n2 link set eth0 up
wait $pid || fail "ended with $?"
grep -q '"group_died"' pause/events.jsonl && fail "somebody died: $(grep group_died pause/events.jsonl)"
[ "$before" -lt "$(steps pause)" ] || fail "the run was over before the link came back"
expect 0 'bundle' muster run job.json out="$scratch/calm-one" cluster.launcher=local cluster.hostfile=null cluster.ranks_per_group=1 train.micro_batch=4
same_bytes calm-one/bundle/model.safetensors pause/bundle/model.safetensors

say "a cut link: the host is named, and the trial goes on once the link is back"
on n1 muster run job.json out="$scratch/cut" >"$scratch/ran" 2>&1 &
pid=$!
wait_until 120 steps_done cut 41
ip -n n2 link set eth0 down
died() { grep -q '"group_died"' cut/events.jsonl; }
wait_until 60 died
grep '"group_died"' cut/events.jsonl | has 'n2' || fail "host n2 is not named: $(grep group_died cut/events.jsonl)"
away() { grep -q 'host n2 is not reachable' ran; }
wait_until 60 away
ip -n n2 link set eth0 up
wait $pid || fail "ended with $?"
same_as_calm cut
wait_until 30 no_process "muster-worker.*$scratch/"
