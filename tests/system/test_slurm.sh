#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A real SLURM of two nodes on this machine: cluster/muster.sbatch carries a sweep through, puts itself back into the queue when warned and
# resumes; groups by srun and by mpirun; muster started by srun. The end is that of a run without SLURM, byte for byte.
. "$(dirname "$0")/common.sh"
for program in slurmctld slurmd munged srun sbatch scontrol; do
  command -v $program >/dev/null || skip "$program is not here (Debian: slurm-wlm, munge)"
done
[ "$(id -u)" = 0 ] || skip "slurmd needs root"
unset "${!SLURM_@}" # a SLURM that we may be in is not the one under test
export OMPI_MCA_mpi_yield_when_idle=1
chmod 755 "$scratch"

# ---- two nodes ----
daemons() { cat "$scratch"/slurm/*.pid 2>/dev/null | sort -u; }
all_down() { local p; for p in $(daemons); do ! kill -0 "$p" 2>/dev/null || return 1; done; }
clean_up() {
  scancel --full "${jobs[@]}" 2>/dev/null || true
  # shellcheck disable=SC2046
  kill $(daemons) 2>/dev/null || true
  (wait_until 10 all_down) 2>/dev/null # their directory goes away in any case
}
jobs=()
mkdir -p slurm/state slurm/tmp-n1 slurm/tmp-n2
head -c 128 /dev/urandom >slurm/munge.key
chmod 600 slurm/munge.key
host=$(hostname -s)
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
cat >slurm/slurm.conf <<CONF
ClusterName=muster
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
AuthType=auth/munge
AuthInfo=socket=$scratch/slurm/munge.sock,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$scratch/slurm/state
SlurmdSpoolDir=$scratch/slurm/spool-%n
TmpFS=$scratch/slurm/tmp-%n
SlurmctldPidFile=$scratch/slurm/slurmctld.pid
SlurmdPidFile=$scratch/slurm/slurmd-%n.pid
SlurmctldLogFile=$scratch/slurm/slurmctld.log
SlurmdLogFile=$scratch/slurm/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=10
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=4
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$scratch/slurm/slurm.conf
munged --force --key-file="$scratch/slurm/munge.key" --socket="$scratch/slurm/munge.sock" --pid-file="$scratch/slurm/munged.pid" \
  --log-file="$scratch/slurm/munged.log" --seed-file="$scratch/slurm/munge.seed" 2>slurm/munged.said || skip "munged does not run: $(cat slurm/munged.said)"
slurmctld 2>slurm/said && slurmd -N n1 2>>slurm/said && slurmd -N n2 2>>slurm/said || skip "SLURM's daemons do not run: $(tail -1 slurm/said)"
idle() { [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; }
(wait_until 20 idle) 2>/dev/null || skip "SLURM's nodes do not come up: $(tail -1 slurm/slurmd-n1.log)"
timeout 60 srun -N2 -n2 true || skip "srun does not work here"

# ---- what is expected ----
python3 "$here/tiny.py" "$scratch" 400
set_key job.json train.epochs 20
set_key job.json sweep '{"lr": [2e-3, 4e-3]}'
set_key job.json cluster.ranks_per_group 2
expect 0 'bundle' muster run job.json out="$scratch/calm"
same_as_calm() {
  same_bytes calm/bundle/model.safetensors "$1"/bundle/model.safetensors
  same_bytes calm/table.md "$1"/table.md
}
state() { scontrol -o show job "$1" | grep -oE 'JobState=[A-Z]+' | cut -d= -f2; }
said_by() { cat "muster-$1.out" >"$scratch/said" 2>/dev/null || true; }
job_over() { case $(state "$1") in COMPLETED | FAILED | CANCELLED | NODE_FAIL | TIMEOUT | BOOT_FAIL) ;; *) return 1 ;; esac; }
restarted() { scontrol -o show job "$1" | has 'Restarts=1( |$)'; }

say "sbatch: a sweep of two groups, each over two tasks; warned by USR1 it saves, requeues itself and resumes"
job=$(sbatch --parsable --nodes=2 --ntasks=4 "$MUSTER_SOURCE/cluster/muster.sbatch" job.json out="$scratch/batch" cluster.groups=2)
jobs+=("$job")
wait_until 120 steps_done batch 41
scancel --signal=USR1 --batch "$job"
wait_until 60 restarted "$job"
wait_until 240 job_over "$job"
said_by "$job"
[ "$(state "$job")" = COMPLETED ] || fail "job $job is $(state "$job"), expected COMPLETED"
restarted "$job" || fail "the job was put back into the queue more than once"
grep -q 'run the same command again to resume' said || fail "it did not say that it stopped"
same_as_calm batch
grep -q '"group_died"' batch/events.jsonl && fail "a stop is no death: $(grep -E '"(run|group|lease|stop)[a-z_]*"' batch/events.jsonl)"

say "groups by mpirun, on the hosts of the allocation"
MUSTER_LAUNCHER=mpirun expect 0 'bundle' salloc -Q --nodes=2 --ntasks=2 bash "$MUSTER_SOURCE/cluster/muster.sbatch" job.json out="$scratch/by-mpirun"
same_as_calm by-mpirun

say "srun starts muster itself"
expect 0 'bundle' srun --mpi=pmix --nodes=2 --ntasks=2 muster run job.json out="$scratch/attached"
same_as_calm attached
expect 2 'started 2 processes without PMIx; use srun --mpi=pmix' srun --mpi=none --nodes=2 --ntasks=2 muster run job.json out="$scratch/refused"

say "too few tasks, no allocation"
expect 2 '4 groups of 2 ranks need 8 tasks, the SLURM allocation has 2; ask for --ntasks=8' \
  salloc -Q --ntasks=2 muster run job.json out="$scratch/refused" cluster.launcher=srun cluster.groups=4
expect 2 '"srun" works inside a SLURM allocation only' muster run job.json out="$scratch/refused" cluster.launcher=srun
expect 2 '2 groups of 2 ranks need 4 slots, the hosts have 2' \
  salloc -Q --nodes=2 --ntasks=2 muster run job.json out="$scratch/refused" cluster.launcher=mpirun cluster.groups=2
[ ! -e refused ] || fail "a refused job made its directory"
