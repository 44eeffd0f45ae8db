# SPDX-License-Identifier: Apache-2.0
# Sourced behind common.sh: hosts n1, n2, ... on one machine, as network namespaces joined by a bridge, each with a host name of its own and the
# addresses 10.77.0.N. Everything lies in a mount and network namespace of the test and goes away with it.
if [ -z "${MUSTER_HOSTS_INSIDE:-}" ]; then
  { command -v unshare && command -v ip && command -v mpirun; } >/dev/null || skip "unshare, ip (iproute2) or mpirun is not here"
  probe='mount -t tmpfs none /run && mkdir /run/netns && ip link add muster0 type bridge && ip netns add muster-probe && unshare --uts true'
  unshare --mount --net --propagation private sh -c "$probe" >/dev/null 2>&1 ||
    skip "network namespaces cannot be made here (root and CAP_SYS_ADMIN are needed)"
  cd /
  rm -rf "$scratch"
  MUSTER_HOSTS_INSIDE=1 exec unshare --mount --net --propagation private bash "$here/$(basename "$0")"
fi

# make_hosts COUNT
make_hosts() {
  mount -t tmpfs none /run
  mkdir /run/netns
  ip link set lo up
  ip link add bridge type bridge
  ip link set bridge up
  cp /etc/hosts hosts
  local i
  for i in $(seq "$1"); do
    ip netns add "n$i"
    ip link add "v$i" type veth peer name eth0 netns "n$i"
    ip link set "v$i" master bridge up
    ip -n "n$i" address add "10.77.0.$i/24" dev eth0
    ip -n "n$i" link set eth0 up
    ip -n "n$i" link set lo up
    echo "10.77.0.$i n$i" >>hosts
  done
  mount --bind hosts /etc/hosts
  # The remote shell: one whose host cannot be reached answers as ssh does. Host names are the hosts' own.
  cat >"$scratch/agent" <<'AGENT'
#!/bin/sh
host=$1
shift
[ "$host" != mute ] || exec sleep 1000
ip -n "$host" link show eth0 up 2>/dev/null | grep -q LOWER_UP || { echo "agent: connect to host $host: No route to host" >&2; exit 255; }
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && { [ ! -e "$2" ] || . "$2"; } && exec sh -c "$1"' "$host" "$*" "$(dirname "$0")/mounts-$host"
AGENT
  chmod +x "$scratch/agent"
  export OMPI_MCA_plm_rsh_agent="$scratch/agent" OMPI_MCA_mpi_yield_when_idle=1
}

# on HOST COMMAND...: as if typed there.
on() {
  local host=$1
  shift
  ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$host" "$@"
}
