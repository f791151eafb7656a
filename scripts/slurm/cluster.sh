#!/usr/bin/env bash
# A Slurm of two nodes on this machine, for tests: slurmctld, two slurmd (n1, n2) and munged on the loopback.
#
#   cluster.sh install        Debian's packages; as root
#   cluster.sh start DIR      everything it keeps is in DIR; then `. DIR/env` and use sbatch, srun, squeue
#   cluster.sh kill DIR n2    a node dies, with all that runs on it
#   cluster.sh stop DIR
#
# There is no accounting database: DIR/bin/sacct, first in the PATH of DIR/env, answers from squeue what submitit asks.
set -euo pipefail

say() { printf 'cluster.sh: %s\n' "$*" >&2; }

install_slurm() {
    if command -v slurmctld slurmd munged >/dev/null; then
        say "Slurm is there: $(slurmctld -V)"
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends slurm-wlm munge
}

free_ports() {
    python3 - "$1" <<'END'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
END
}

configure() {
    local dir=$1 user host ports gpus=
    user=$(id -un) host=$(hostname -s)
    read -r -a ports <<<"$(free_ports 3)"
    mkdir -p "$dir"/{bin,ctld,n1,n2,munge}
    chmod 700 "$dir/munge"
    head -c 1024 /dev/urandom >"$dir/munge/key"
    chmod 600 "$dir/munge/key"
    # What Slurm takes for two GPUs on each node, and hands out one by one: it wants devices, which only root can make.
    if mknod "$dir/gpu0" c 1 3 2>/dev/null && mknod "$dir/gpu1" c 1 3; then
        gpus=Gres=gpu:2
        echo "NodeName=n[1-2] Name=gpu File=$dir/gpu[0-1]" >"$dir/gres.conf"
    fi
    cat >"$dir/slurm.conf" <<END
ClusterName=loopback
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
StateSaveLocation=$dir/ctld
SlurmdSpoolDir=$dir/%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
MessageTimeout=20
KillWait=5
# A job whose node died is lost, and not begun again by Slurm: that is what the test is about.
JobRequeue=0
GresTypes=gpu
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=2 RealMemory=1000 $gpus
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=2 RealMemory=1000 $gpus
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE
END
    cat >"$dir/env" <<END
export SLURM_CONF='$dir/slurm.conf'
export PATH='$dir/bin':"\$PATH"
END
    cat >"$dir/bin/sacct" <<'END'
#!/usr/bin/env bash
# As `sacct -o JobID,State,NodeList --parsable2 -j ID [-j ID ...]`, for jobs that slurmctld still remembers.
echo 'JobID|State|NodeList'
while [ $# -gt 0 ]; do
    if [ "$1" = -j ]; then squeue --jobs="$2" --array --states=all --noheader --format='%i|%T|%N' 2>/dev/null; fi
    shift
done
exit 0
END
    chmod +x "$dir/bin/sacct"
}

start() {
    local dir node
    mkdir -p "$1"
    dir=$(cd "$1" && pwd)
    configure "$dir"
    export SLURM_CONF=$dir/slurm.conf
    # --force: the folders above the socket may be open to others, as /tmp is.
    munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>>"$dir/munge/messages"
    slurmctld
    for node in n1 n2; do
        slurmd -N "$node"
    done
    for _ in $(seq 600); do
        if [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" = 2 ]; then
            say "two nodes are up; . $dir/env"
            return
        fi
        sleep 0.5
    done
    say "the nodes did not come up; see $dir/*.log"
    stop "$dir"
    return 1
}

# The ids of this cluster's processes on a node: what its jobs run, and the slurmstepd above each.
on_node() {
    local dir=$1 node=$2 file id parent
    for file in /proc/[0-9]*/environ; do
        if tr '\0' '\n' 2>/dev/null <"$file" | grep -cxF -e "SLURM_CONF=$dir/slurm.conf" -e "SLURMD_NODENAME=$node" | grep -qx 2
        then
            id=$(basename "$(dirname "$file")")
            parent=$(awk '$1 == "PPid:" { print $2 }' "/proc/$id/status" 2>/dev/null) || continue
            if [ "$(cat "/proc/${parent:-0}/comm" 2>/dev/null)" = slurmstepd ]; then echo "$parent"; fi
            echo "$id"
        fi
    done
}

kill_node() {
    local dir ids
    dir=$(cd "$1" && pwd)
    ids=$(on_node "$dir" "$2" | sort -un)
    # All at once: a slurmd or slurmstepd that was left would tell of the end of a job.
    # shellcheck disable=SC2046,SC2086
    kill -KILL $(cat "$dir/$2.pid" 2>/dev/null) $ids 2>/dev/null || true
    rm -f "$dir/$2.pid"
}

stop() {
    local dir file
    dir=$(cd "$1" && pwd)
    kill_node "$dir" n1
    kill_node "$dir" n2
    for file in slurmctld.pid munge/pid; do
        if [ -f "$dir/$file" ]; then kill -KILL "$(cat "$dir/$file")" 2>/dev/null || true; fi
    done
}

case "${1:-} $#" in
    "install 1") install_slurm ;;
    "start 2") start "$2" ;;
    "kill 3") kill_node "$2" "$3" ;;
    "stop 2") stop "$2" ;;
    *)
        say "usage: cluster.sh install | start DIR | kill DIR NODE | stop DIR"
        exit 2
        ;;
esac
