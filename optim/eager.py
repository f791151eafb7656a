"""Steps that torch.compile leaves as they are: `outside_graphs`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Step = TypeVar("Step", bound=Callable[..., Any])


def outside_graphs(step: Step) -> Step:
    """Mark a function so that torch.compile breaks its graph there and leaves it, and what it calls, uncompiled.

    The mark is on the function's code, so it goes below decorators, whose code other functions share.
    `torch._dynamo.disable` does the same with a wrapper, for which every process that steps would import the compiler.
    """
    frames = torch._C._dynamo.eval_frame
    never = frames._FrameExecStrategy(frames._FrameAction.SKIP, frames._FrameAction.SKIP)
    frames.set_code_exec_strategy(step.__code__, never)
    step._torchdynamo_disable = True  # type: ignore[attr-defined]
    return step
