#!/usr/bin/env bash
# A real Slurm on this machine's loopback: two nodes of four cores and two pretended GPUs each. As root, on Debian:
#     apt-get install -y --no-install-recommends munge slurm-wlm
#     tests/workflow/slurm/cluster.sh start              start it; one that is left from before is stopped first
#     tests/workflow/slurm/cluster.sh kill NAME          node1 or node2 dies at once: its slurmd and step daemons, not its jobs' processes; or slurmctld
#     tests/workflow/slurm/cluster.sh revive NAME        and comes back
#     tests/workflow/slurm/cluster.sh stop               stop all that was started, jobs' processes too
set -euo pipefail

# Snakemake's Slurm plugin drops SLURM_CONF from jobs' environment, so the config must lie where Slurm looks for it
conf=/etc/slurm/slurm.conf
gres=/etc/slurm/gres.conf
mark="# Counterweight's test cluster: tests/workflow/slurm/cluster.sh stop"
name=counterweight-test # Slurm gives it to every job as SLURM_CLUSTER_NAME
state=/var/tmp/$name
nodes=(node1 node2)

start() {
    refuse_others
    stop
    mkdir -p "$state"/{run,log,ctld}
    mknod "$state/gpu0" c 1 3 # any device will do
    mknod "$state/gpu1" c 1 3
    configure
    if ! munge -n >/dev/null 2>&1; then
        [ -s /etc/munge/munge.key ] || runuser -u munge -- /usr/sbin/mungekey --create
        install -d -o munge -g munge -m 755 /run/munge /var/log/munge /var/lib/munge
        runuser -u munge -- /usr/sbin/munged
        touch "$state/started-munge"
    fi
    for daemon in slurmctld "${nodes[@]}"; do revive "$daemon"; done
    for _ in $(seq 150); do
        [ "$(sinfo --noheader --states idle --format %D)" = ${#nodes[@]} ] && return
        sleep 0.2
    done
    echo "the nodes did not come up: see $state/log" >&2
    exit 1
}

stop() {
    if ours; then
        for daemon in slurmctld "${nodes[@]}"; do kill_daemon "$daemon"; done
        end $(grep -lzx "SLURM_CLUSTER_NAME=$name" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3)
        rm -f "$conf" "$gres"
    fi
    [ ! -e "$state/started-munge" ] || end "$(cat /run/munge/munged.pid)"
    rm -rf "$state"
}

revive() {
    if [ "$1" = slurmctld ]; then
        slurmctld
    else
        mkdir -p "$state/spool/$1"
        slurmd -c -N "$1"
    fi
}

# Daemons are known by the log that they write, which slurmd shares with its step daemons alone
kill_daemon() { end $(find /proc/[0-9]*/fd -lname "$state/log/$1.log" 2>/dev/null | cut -d/ -f3 | sort -u); }

refuse_others() {
    local file
    for file in "$conf" "$gres"; do
        if [ -e "$file" ] && [ "$(head -n 1 "$file")" != "$mark" ]; then
            echo "$file is of another Slurm: this test cluster would take its place" >&2
            exit 1
        fi
    done
}

ours() { [ -e "$conf" ] && [ "$(head -n 1 "$conf")" = "$mark" ]; }

end() { # and wait until they are gone; where nobody reaps the dead, a zombie is
    local pid
    for pid in "$@"; do kill -KILL "$pid" 2>/dev/null || true; done
    for pid in "$@"; do
        while grep -q '^State:.[^Z]' "/proc/$pid/status" 2>/dev/null; do sleep 0.05; done
    done
}

configure() {
    local host
    host=$(hostname -s)
    cat >"$conf" <<CONF
$mark
ClusterName=$name
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
StateSaveLocation=$state/ctld
SlurmdSpoolDir=$state/spool/%n
SlurmctldPidFile=$state/run/slurmctld.pid
SlurmdPidFile=$state/run/%n.pid
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/none
# jobs over their memory are killed, looked at every second
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherParams=OverMemoryKill
JobAcctGatherFrequency=task=1
# all that a test would wait for is short, and what has ended is remembered; SIGKILL comes KillWait seconds after SIGTERM
SlurmdTimeout=5
MinJobAge=7200
KillWait=5
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1
# a dead node may come back, and nodes have more than this machine has
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=node[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[16821-16822] CPUs=8 RealMemory=100000 Gres=gpu:pretend:2
PartitionName=gpu Nodes=ALL Default=YES MaxTime=2-00:00:00
PartitionName=short Nodes=node1 MaxTime=30
CONF
    cat >"$gres" <<CONF
$mark
NodeName=node[1-2] Name=gpu Type=pretend File=$state/gpu[0-1]
CONF
}

case "${1-}" in
start | stop) "$1" ;;
kill) kill_daemon "$2" ;;
revive) revive "$2" ;;
*) sed -n '2,8s/^# //p' "$0" && exit 2 ;;
esac
