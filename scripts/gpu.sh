#!/usr/bin/env bash
# What only a GPU can show, in three runs of at most ten minutes, from the repository's root:
#   scripts/gpu.sh RUN OUT_DIR [WHEELS_DIR]
#
# RUN 1: is it right, and who computes a convolution. kernel, graph (tests); conv, stack (which decides, by the rule in
#        scripts/bench/stack_ways.py); step-warm, step-cold, plot (of the optimizer's step).
# RUN 2: scale. wide, many, compile (a stack's step in larger networks, in smaller and larger stacks, compiled);
#        trials-cifar, trials-modular (trials in an hour, of this runner and of others).
# RUN 3: the paper's Figure 2 on CIFAR-10, figure2; or, if run 1 found wrong bits, GPU_SH_STEPS=sanitizer.
#
# Each step has a limit of its own and none stops the next. After each, and every minute, OUT_DIR has all.tgz (logs, rows,
# studies) and summary.txt anew; a plot adds step.png. Packages in WHEELS_DIR are used from a folder that is gone
# afterwards. CIFAR-10 is .data/cifar10/cifar10.npz, or is made of the sheets there by unpack_cifar10.py beside them.
#
#   PYTHON          the interpreter (python3)
#   GPU_SH_STEPS    which steps of the run, instead of all
#   GPU_SH_LIMIT    seconds for all of it (570); a step gets no more than what is left
#   GPU_SH_DATA     where CIFAR-10 is (.data/cifar10)
#   GPU_SH_WAYS     other ways for wide and many, such as "stack,lanes+benchmark"
#   GPU_SH_FIGURE2  more arguments of scripts/figure2.py
#   GPU_SH_QUICK    1: the smallest sizes, made-up images if there are no others; to try this script on a CPU
# shellcheck disable=SC2054 # options of the scripts take commas
set -u

usage() { sed -n '2,21s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -eq 2 ] || [ $# -eq 3 ] || usage
quick=${GPU_SH_QUICK:-0}
case $1 in
    1) steps="kernel graph conv stack step-warm step-cold plot" ;;
    2) steps="wide many compile trials-cifar trials-modular" ;;
    3) steps="figure2" ;;
    *) usage ;;
esac
steps=${GPU_SH_STEPS:-$steps}
limit=${GPU_SH_LIMIT:-570}
python=${PYTHON:-python3}
mkdir -p "$2" || exit 1
out=$(cd "$2" && pwd)
# What a step writes stays outside of OUT_DIR, so that a cut leaves no more there than the few files that are whole.
scratch=$(mktemp -d) || exit 1
work=$scratch/work
mkdir "$work"
packer=
trap '[ -n "$packer" ] && kill "$packer" 2>/dev/null; rm -rf "$scratch"' EXIT
export PYTHONUNBUFFERED=1 MPLBACKEND=Agg TRITON_CACHE_DIR="$scratch/triton" TORCHINDUCTOR_CACHE_DIR="$scratch/inductor"
# Plugins that happen to be installed there have never been tried with these tests.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1

if [ $# -eq 3 ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
        --target "$scratch/site" "$3"/*.whl || exit 1
    export PYTHONPATH="$scratch/site${PYTHONPATH:+:$PYTHONPATH}"
fi

# wanted STEP: whether it is among the chosen ones.
wanted() { case " $steps " in *" $1 "*) ;; *) return 1 ;; esac; }

# note STEP TEXT...: a line of the summary.
note() { printf '%-16s %s\n' "$1" "${*:2}" >>"$work/summary.txt"; }

# pack NAME: all there is so far, whole at any moment; that a file grows meanwhile is no error. NAME is of the draft.
pack() {
    cp "$work/summary.txt" "$out/summary.txt"
    tar -C "$work" --exclude=.state -czf "$scratch/$1.tgz" . 2>/dev/null
    [ $? -le 1 ] && mv "$scratch/$1.tgz" "$out/all.tgz"
}

# step NAME SECONDS COMMAND...: runs it with its output in NAME.log, notes seconds and exit code, and packs.
step() {
    local name=$1 most=$2 left=$((limit - SECONDS)) began=$SECONDS code
    shift 2
    [ "$quick" = 1 ] && most=$((4 * most))  # on a CPU that others use too
    [ "$left" -lt "$most" ] && most=$left
    if [ "$most" -lt 5 ]; then
        note "$name" "not run: no time left"
        return 1
    fi
    printf '== %s (at most %s s)\n' "$name" "$most"
    while sleep 60; do pack minute; done >/dev/null 2>&1 &  # whose sleep may outlive it, and must not hold our output
    packer=$!
    # Interrupted, not terminated: pytest then still tells what failed so far.
    timeout -s INT -k 10 "$most" "$@" >"$work/$name.log" 2>&1
    code=$?
    kill "$packer" && wait "$packer" 2>/dev/null
    packer=
    tail -n 3 "$work/$name.log"
    note "$name" "$((SECONDS - began)) s  exit $code$(case $code in 124 | 137) echo ' (out of time)' ;; esac)"
    grep -aE '^tests/.* (FAILED|ERROR)' "$work/$name.log" | cut -c 1-200 >>"$work/summary.txt"
    pack step
    return "$code"
}

about() {
    "$python" - <<'PYTHON'
import importlib.metadata as versions
import platform

import torch

cuda = torch.cuda.is_available()
print("device", torch.cuda.get_device_name() if cuda else platform.machine(), "CUDA", torch.version.cuda)
if cuda:
    about = torch.cuda.get_device_properties(0)
    print("multiprocessors", about.multi_processor_count, "memory", about.total_memory, "L2", about.L2_cache_size)
    print("cuDNN", torch.backends.cudnn.version())
print("python", platform.python_version(), "torch", torch.__version__)
for name in ("triton", "numpy", "pandas", "matplotlib", "hydra-core", "omegaconf", "hypothesis", "pytest"):
    try:
        print(name, versions.version(name))
    except versions.PackageNotFoundError:
        print(name, "is missing")
PYTHON
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv
    git rev-parse --short HEAD 2>/dev/null
    command -v cc gcc || echo "no C compiler: older Triton needs one"
    printf 'run %s: %s\n' "$1" "$steps"
}
touch "$work/summary.txt"
about "$1" 2>&1 | tee "$work/about.log"
pack step

tests=(-m pytest -v --tb=short -ra -p no:cacheprovider -o faulthandler_timeout=90)
ways=${GPU_SH_WAYS:-stack,stack+benchmark,lanes,lanes+benchmark}
conv=(--limit 100)
rounds=(--rounds 12)
stack=(cifar16 --trials 16 --limit 65)
wide=(cifar64 --trials 4 --ways "$ways" --limit 50)
wide_modular=(modular --trials 64 --ways "stack,lanes" --limit 30)
many=(cifar16 --trials 1,64 --ways "$ways" --limit 50)
compile=(cifar16 --trials 16 --ways "lanes,lanes+compile" --limit 60)
cifar=(cifar16 --trials 8 --images 12800 --ways ours,tuned,typed --rounds 1 --precision bf16)
modular=(modular --epochs 10 --ways ours,tuned,typed --rounds 1 --precision bf16)
figure2=(--minutes 8.3)
if [ "$quick" = 1 ]; then
    export OMP_NUM_THREADS=1  # the smallest sizes are done before a second thread has begun, and others want the core
    small=(--rounds 1 --steps 1)
    conv=(resnet20 --batch 1 --trials 1,2)
    rounds=(--rounds 1 tiny)
    stack=(digits --trials 2 --ways stack,lanes "${small[@]}")
    wide=(digits --trials 2 --ways stack "${small[@]}")
    wide_modular=(modular --trials 2 --ways stack "${small[@]}")
    many=(digits --trials 1,2 --ways stack "${small[@]}")
    compile=(digits --trials 2 --ways lanes "${small[@]}")
    cifar=(cifar16 --trials 2 --images 150 --epochs 1 --ways ours --rounds 1 --precision fp32)
    modular=(modular --epochs 1 --ways ours --rounds 1 --precision fp32)
    # A study of one epoch that has been begun: its epochs are not chosen by a clock that other work disturbs.
    mkdir -p "$work/results/figure2-1-epochs"
    figure2=(--minutes 8 model.depth=8 model.width=4 "lr=[0.01]" "wd=[0,0.001]")
fi
read -r -a more <<<"${GPU_SH_FIGURE2:-}"

# images: the path of CIFAR-10 in $npz, and in $label what tables call it; where there are only the sheets they are
# unpacked first. Fails where none is.
images() {
    local data=${GPU_SH_DATA:-.data/cifar10}
    npz=$data/cifar10.npz label=CIFAR-10
    [ -f "$npz" ] && return
    label="CIFAR-10 (JPEG copy)"
    npz=$scratch/cifar10.npz
    [ -f "$npz" ] && return
    if [ -f "$data/unpack_cifar10.py" ]; then
        step unpack 60 "$python" "$data/unpack_cifar10.py" "$npz"
    elif [ "$quick" = 1 ]; then
        label=made-up
        "$python" - "$npz" <<'PYTHON'
import sys

import numpy as np

rng = np.random.default_rng(0)
x, y = rng.integers(0, 256, (300, 32, 32, 3), dtype=np.uint8), np.arange(300) % 10
np.savez(sys.argv[1], x_train=x, y_train=y, x_test=x[:100], y_test=y[:100])
PYTHON
    fi
    [ -f "$npz" ]
}

bench() { step "$1" "$2" "$python" scripts/bench stack "${@:3}" --csv "$work/$1.csv"; }

wanted kernel && step kernel 60 "$python" "${tests[@]}" tests/optim/cuda/test_kernel_cuda.py
wanted graph && step graph 180 "$python" "${tests[@]}" tests/training/test_graph_cuda.py
wanted sanitizer && PYTORCH_NO_CUDA_MEMORY_CACHING=1 step sanitizer 500 compute-sanitizer --print-limit 20 \
    "$python" "${tests[@]}" tests/optim/cuda/test_kernel_cuda.py -k fused_cpu_step
wanted conv && step conv 110 "$python" scripts/bench conv "${conv[@]}" --csv "$work/conv.csv"
if wanted stack; then
    bench stack 75 "${stack[@]}"
    "$python" scripts/bench stack --decide "$work/stack.csv" 2>&1 | tee -a "$work/summary.txt"
fi
wanted step-warm && step step-warm 60 "$python" scripts/bench step "${rounds[@]}" --csv "$work/step-warm.csv"
wanted step-cold && step step-cold 60 "$python" scripts/bench step "${rounds[@]}" --cold --csv "$work/step-cold.csv"
wanted plot && step plot 30 "$python" scripts/bench plot "$work"/step-*.csv "$out/step.png"

if wanted wide; then
    bench wide 60 "${wide[@]}"
    bench wide-modular 40 "${wide_modular[@]}"
fi
wanted many && bench many 60 "${many[@]}"
if wanted trials-cifar; then
    if images; then
        step trials-cifar 180 "$python" scripts/bench trials "${cifar[@]}" --cifar10 "$npz" --csv "$work/trials-cifar.csv"
    else
        note trials-cifar "not run: no CIFAR-10"
    fi
fi
wanted trials-modular && step trials-modular 60 "$python" scripts/bench trials "${modular[@]}" --csv "$work/trials-modular.csv"
wanted compile && bench compile 210 "${compile[@]}"  # last: it is the one that may well run out of time

if wanted figure2; then
    if ! images; then
        note figure2 "not run: no CIFAR-10"
    else
        step figure2 560 "$python" scripts/figure2.py --images "$npz" --label "$label" "${figure2[@]}" \
            --results "$work/results" "${more[@]}"
    fi
fi

pack step
printf '\n'
cat "$out/summary.txt"
