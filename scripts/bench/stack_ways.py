"""Ways to compute the step of a stack, for `python scripts/bench stack`: `way(name, trials, dataset, device)`.

Both are the engine's. stack: a convolution of all trials is one grouped convolution, channels last, or what is faster
on a GPU (`runner.models.convolve`). lanes: an ordinary network for each trial (`runner.models.lanes`). With +compile
the network goes through torch.compile; with +benchmark cuDNN tries its algorithms (`torch.backends.cudnn.benchmark`,
set where the step is taken). The optimizer steps all trials at once, and all give the same networks, to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.models.lanes import Lanes
from runner.training.stack import Stack
from runner.trials.trial import Trial

# Of the time without. Both were settled before the first measurement, so that no result picks its own rule.
LANES_GAIN, BENCHMARK_GAIN = 0.9, 0.95


def parsed(name: str) -> tuple[str, str]:
    """The kind of the way of this `name` and what comes after the "+"; ValueError for an unknown one."""
    kind, _, more = name.partition("+")
    if more not in ("", "compile", "benchmark") or kind not in ("stack", "lanes"):
        raise ValueError(f"way {name!r}: must be stack or lanes, and nothing, +compile or +benchmark")
    return kind, more


def way(name: str, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> Stack:
    """A stack of `trials` of one shape on `device` whose step is computed in this way; `dataset`: theirs."""
    kind, more = parsed(name)
    stack = Stack([trial.computed(LANES if kind == "lanes" else FULL) for trial in trials], dataset, device)
    call: Any = stack.network
    if more == "compile" and isinstance(call, Lanes):
        call.call = torch.compile(call.lane, fullgraph=True, dynamic=False)
    elif more == "compile":
        call = torch.compile(call, fullgraph=True, dynamic=False)
    stack.step.model = call
    return stack


def decision(ms: Mapping[str, float]) -> str:
    """Who should compute a stack's convolutions, from `ms`, milliseconds for each trial by way; and why.

    Lanes, if they take less than 0.9 of what the grouped stack takes, for they cost memory and time to record. cuDNN
    tries its algorithms if that gains over 5 %, for trying takes time again in every command.
    """
    if "stack" not in ms:
        return "not decided: stack was not measured"
    plain, why = "stack", "lanes were not measured"
    if "lanes" in ms:
        share = ms["lanes"] / ms["stack"]
        plain, why = "lanes" if share < LANES_GAIN else "stack", f"lanes take {share:.2f} of stack"
    tried = f"{plain}+benchmark"
    if tried not in ms:
        return f"{plain} ({why}; {tried} was not measured)"
    share = ms[tried] / ms[plain]
    return f"{tried if share < BENCHMARK_GAIN else plain} ({why}; benchmark takes {share:.2f} of {plain})"
