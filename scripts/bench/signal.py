"""How long a command takes to end after Ctrl-C, its state saved: `python scripts/bench signal [--rounds 10]`.

In turn, a sweep of sixteen trials on the digits (in one process and in two) and the peer: the plain PyTorch script that
one would write, one small convolutional network with a fused AdamW, which catches KeyboardInterrupt, saves the states
of network and optimizer with torch.save, and exits. The signal comes at a random instant of the training. Prints the
median, the maximum and the ratio to the peer's median.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from scripts.bench.common import Table, medians, options, turns, whole

PLAIN = """
import sys, torch
from torch import nn
torch.set_num_threads(1)
net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2), nn.ReLU(), nn.Flatten(),
                    nn.Linear(144, 10))
optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
x, y = torch.rand(400, 1, 8, 8), torch.randint(10, (400,))
try:
    for epoch in range(10**9):
        for i in range(0, 400, 32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x[i : i + 32]), y[i : i + 32]).backward()
            optimizer.step()
        if not epoch:
            open("begun", "w").close()
except KeyboardInterrupt:
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, "state.pt")
    sys.exit(130)
"""
SWEEP = "-m optimizer=adam,adamw lr=1e-3,1e-2 wd=0.01,0.1 seed=0,1 epochs=100000 study=s".split()
# What is run, the file that says that it trains, and the files that must exist in the end.
WAYS = {
    "sweep, one process": ([*SWEEP, "workers=1"], "results/s/curves.csv", "results/s/.state/stacks/*.pt"),
    "sweep, two processes": ([*SWEEP, "workers=2"], "results/s/curves.csv", "results/s/.state/stacks/*.pt"),
    "plain script": ([], "begun", "state.pt"),
}


def seconds(way: str, delays: random.Random) -> float:
    """From the signal to the end of the process."""
    arguments, begun, saved = WAYS[way]
    command = [sys.executable, "-m", "runner", *arguments] if arguments else [sys.executable, "-c", PLAIN]
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, cwd=folder, preexec_fn=_heed, **quiet) as process:  # type: ignore[call-overload]
            while not (Path(folder) / begun).exists():
                if process.poll() is not None:
                    raise SystemExit(f"{way}: ended with status {process.returncode} before the signal")
                time.sleep(0.02)
            time.sleep(delays.random())
            clock = time.perf_counter()
            os.kill(process.pid, signal.SIGINT)
            process.wait()
            took = time.perf_counter() - clock
        if process.returncode != 130 or not list(Path(folder).glob(saved)):
            raise SystemExit(f"{way}: status {process.returncode}, and no state was saved")
    return took


def _heed() -> None:
    """Not to ignore Ctrl-C, as what a shell starts in the background does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rounds", type=whole, default=10, help="signals to each way (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the instants (%(default)s)")
    chosen = parser.parse_args()
    delays = random.Random(chosen.seed)
    times = turns({way: partial(seconds, way, delays) for way in WAYS}, chosen.rounds)
    middle = medians(times)
    table = Table("way:<20 median_s:.2f max_s:.2f ratio:.1f n", chosen.csv)
    for way, median in middle.items():
        row = {"way": way, "median_s": median, "max_s": max(times[way]), "n": chosen.rounds}
        table.add(row | {"ratio": median / middle["plain script"]})
