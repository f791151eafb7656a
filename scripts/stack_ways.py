"""Ways to compute the step of a stack, for `scripts/bench_stack.py`: `way(name, trials, dataset, device)`.

Both are the engine's. stack: a convolution of all trials is one grouped convolution, channels last, or what is faster
on a GPU (`runner.models.convolve`). lanes: an ordinary network for each trial (`runner.models.lanes`). With +compile
the network goes through torch.compile, with +benchmark cuDNN tries its algorithms (`torch.backends.cudnn.benchmark`,
set where the step is taken). The optimizer steps all trials at once, and all give the same networks, to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from runner.config.settings import FULL, LANES
from runner.data.dataset import Dataset
from runner.models.lanes import Lanes
from runner.training.stack import Stack
from runner.trials.trial import Trial


def parsed(name: str) -> tuple[str, str]:
    """A way's kind and what comes after the "+"; ValueError for an unknown one."""
    kind, _, more = name.partition("+")
    if more not in ("", "compile", "benchmark") or kind not in ("stack", "lanes"):
        raise ValueError(f"way {name!r}: must be stack or lanes, and nothing, +compile or +benchmark")
    return kind, more


def way(name: str, trials: Sequence[Trial], dataset: Dataset, device: torch.device) -> Stack:
    """A stack of `trials` of one shape whose step is computed in the way of this name."""
    kind, more = parsed(name)
    stack = Stack([trial.computed(LANES if kind == "lanes" else FULL) for trial in trials], dataset, device)
    call: Any = stack.network
    if more == "compile" and isinstance(call, Lanes):
        call.call = torch.compile(call.lane, fullgraph=True, dynamic=False)
    elif more == "compile":
        call = torch.compile(call, fullgraph=True, dynamic=False)
    stack.step.model = call
    return stack
