#!/usr/bin/env bash
# All that only a GPU can show, in one go, from the repository's root: scripts/gpu.sh OUT_DIR [WHEELS_DIR]
#
# Steps, each with a limit of its own and none stopping the next: correct, bench (of the optimizer step), suite, stack
# (ways to compute a stack's step), trials (trials per hour), digits, cifar. Leaves all.tgz (logs, rows, plots, studies),
# summary.txt and step.png in OUT_DIR. Packages in WHEELS_DIR are used from a folder that is gone afterwards. CIFAR-10
# is taken from .data/cifar10: cifar10.npz, or sheets with unpack_cifar10.py beside them.
#
#   PYTHON         the interpreter (python3)
#   GPU_SH_STEPS   which steps ("correct bench suite digits cifar"; "stack trials" want a run of their own)
#   GPU_SH_LIMIT   seconds for all of it (570); a step gets no more than what is left
#   GPU_SH_STACK   other arguments of scripts/bench_stack.py, such as "cifar16 --trials 16 --ways stack,lanes-1"
#   GPU_SH_TRIALS  other arguments of scripts/bench_trials.py, such as "cifar64 --trials 4 --ways ours,tuned"
#   GPU_SH_CIFAR   more arguments of the CIFAR-10 sweep, such as "epochs=20 max_minutes=4"
#   GPU_SH_QUICK   1: few rounds, small sets, one test file for the suite, a small sweep; to try this script
set -u

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    sed -n '2,17s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
python=${PYTHON:-python3}
steps=${GPU_SH_STEPS:-correct bench suite digits cifar}
limit=${GPU_SH_LIMIT:-570}
quick=${GPU_SH_QUICK:-0}
mkdir -p "$1" || exit 1
out=$(cd "$1" && pwd)
work=$(mktemp -d "$out/work.XXXXXX") || exit 1
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
export PYTHONUNBUFFERED=1 MPLBACKEND=Agg TRITON_CACHE_DIR="$scratch/triton"

if [ $# -eq 2 ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
        --target "$scratch/site" "$2"/*.whl || exit 1
    export PYTHONPATH="$scratch/site${PYTHONPATH:+:$PYTHONPATH}"
fi

# wanted STEP: whether it is among the chosen ones.
wanted() { case " $steps " in *" $1 "*) ;; *) return 1 ;; esac; }

# step NAME SECONDS COMMAND...: runs it with its output in NAME.log, and notes seconds and exit code.
step() {
    local name=$1 most=$2 left=$((limit - SECONDS)) began=$SECONDS code
    shift 2
    [ "$left" -lt "$most" ] && most=$left
    if [ "$most" -lt 5 ]; then
        printf '%-16s not run: no time left\n' "$name" >>"$work/summary.txt"
        return
    fi
    printf '== %s (at most %s s)\n' "$name" "$most"
    timeout -k 10 "$most" "$@" >"$work/$name.log" 2>&1
    code=$?
    tail -n 3 "$work/$name.log"
    printf '%-16s %4s s  exit %s%s\n' "$name" $((SECONDS - began)) "$code" \
        "$([ "$code" -eq 124 ] && echo ' (out of time)')" >>"$work/summary.txt"
}

about() {
    "$python" - <<'END'
import importlib.metadata as versions
import platform

import torch

cuda = torch.cuda.is_available()
print("device", torch.cuda.get_device_name() if cuda else platform.machine(), "CUDA", torch.version.cuda)
if cuda:
    about = torch.cuda.get_device_properties(0)
    print("multiprocessors", about.multi_processor_count, "memory", about.total_memory, "L2", about.L2_cache_size)
print("python", platform.python_version(), "torch", torch.__version__)
for name in ("triton", "numpy", "hydra-core", "omegaconf"):
    try:
        print(name, versions.version(name))
    except versions.PackageNotFoundError:
        print(name, "is missing")
END
    command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.mem --format=csv
    git rev-parse --short HEAD 2>/dev/null
    command -v cc gcc || echo "no C compiler: older Triton needs one"
}
about 2>&1 | tee "$work/about.log"

cuda=$("$python" -c 'import torch; print(int(torch.cuda.is_available()))')
rounds=(--rounds 30)
chosen=()
rest=(tests/optim --deselect tests/optim/test_kernel_cuda.py)
suite=(tests/training tests/models tests/data tests/scripts)
digits=(+experiment=digits)
cifar=(model.depth=20 model.width=16 "optimizer=adam,adamw" "lr=1e-3,3e-3,1e-2" "wd=0,1e-4,1e-3" epochs=3 max_minutes=2)
read -r -a stack <<<"${GPU_SH_STACK:-cifar16 cifar64 modular digits --trials 4,16}"
read -r -a trials <<<"${GPU_SH_TRIALS:-cifar16 modular digits --trials 16 --images 12800 --rounds 1}"
if [ "$quick" = 1 ]; then
    rounds=(--rounds 2)
    chosen=(tiny stack16)
    rest=(tests/optim/test_release.py)
    suite=(tests/data/test_split.py)
    stack=(digits --trials 2 --ways stack,lanes-1 --rounds 1 --steps 2)
    trials=(digits --ways ours,tuned --rounds 1 --epochs 1)
    digits=(-m "optimizer=adam,adamw" lr=0.01 "wd=0,0.01" epochs=1)
    cifar=(model.depth=8 model.width=4 optimizer=adamw lr=1e-2 wd=0 epochs=1 max_minutes=1)
fi
read -r -a more <<<"${GPU_SH_CIFAR:-}"

if wanted correct; then
    step correct-cuda 120 "$python" -m pytest -q -ra tests/optim/test_kernel_cuda.py tests/training/test_graph_cuda.py
    step correct-rest 150 "$python" -m pytest -q -ra "${rest[@]}"
fi

if wanted bench; then
    step bench-warm 120 "$python" scripts/bench_step.py "${rounds[@]}" --csv "$work/step-warm.csv" "${chosen[@]}"
    step bench-cold 120 "$python" scripts/bench_step.py "${rounds[@]}" --cold --csv "$work/step-cold.csv" "${chosen[@]}"
    step plot 60 "$python" scripts/plot_step.py "$work"/step-*.csv "$out/step.png"
fi

if wanted suite; then
    step suite 240 "$python" -m pytest -q -ra "${suite[@]}"
fi

if wanted digits; then
    step digits 150 "$python" -m runner "${digits[@]}" study=digits-gpu results="$work/results"
fi

if wanted stack; then
    step stack 480 "$python" scripts/bench_stack.py "${stack[@]}" --limit 400 --csv "$work/stack.csv"
fi

images=.data/cifar10/cifar10.npz
label=CIFAR-10
if { wanted cifar || wanted trials; } && ! [ -f "$images" ] && [ -f .data/cifar10/unpack_cifar10.py ]; then
    images=$scratch/cifar10.npz
    step cifar-unpack 60 "$python" .data/cifar10/unpack_cifar10.py "$images"
    label='CIFAR-10 (JPEG copy)'
fi

if wanted trials; then
    low=(--precision "$([ "$cuda" = 1 ] && echo bf16 || echo fp32)")
    [ -f "$images" ] && low+=(--cifar10 "$images")
    step trials 540 "$python" scripts/bench_trials.py "${trials[@]}" "${low[@]}" --csv "$work/trials.csv"
    step growth 120 "$python" scripts/bench_trials.py --growth
fi

if wanted cifar; then
    if [ -f "$images" ]; then
        step cifar 200 "$python" -m runner -m dataset=npz dataset.path="$images" "dataset.label='$label'" \
            dataset.flip=true dataset.pad=4 wd_convention=paper batch_size=128 "${cifar[@]}" "${more[@]}" study=cifar10-gpu results="$work/results"
    else
        printf '%-16s not run: no .data/cifar10\n' cifar >>"$work/summary.txt"
    fi
fi

[ "$cuda" = 1 ] || echo "no GPU here: CUDA tests were skipped, the rest ran on the CPU" >>"$work/summary.txt"
cp "$work/summary.txt" "$out/summary.txt"
tar -C "$work" --exclude=.state -czf "$out/all.tgz" . && rm -rf "$work"
printf '\n'
cat "$out/summary.txt"
