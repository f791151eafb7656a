"""CUDA streams for work that may run side by side: `with Branches(device, n) as fork:`, for part i `with fork(i):`.

Under capture they become branches of the CUDA graph. All parts begin after what was queued before the `with`, and what
is queued after it waits for all of them.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

COUNT = 16  # streams; with more of them a GPU finishes no sooner


@functools.cache
def streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """The same streams for all stacks, since libraries keep workspaces for each; none on other kinds of device."""
    return tuple(torch.cuda.Stream(device) for _ in range(COUNT)) if device.type == "cuda" else ()


class Branches:
    """Streams for `parts` parts of the work on `device`; on a CPU the parts are done one after another.

    Keep the inputs and outputs of every part until the `with` ends: torch's allocator would give the memory of a tensor
    that is freed on one stream to the next, without waiting for other streams that still read it.
    """

    def __init__(self, device: torch.device, parts: int) -> None:
        self.streams = streams(device)[:parts]

    def __enter__(self) -> Branches:
        for stream in self.streams:
            stream.wait_stream(torch.cuda.current_stream())
        return self

    def __call__(self, part: int) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self.streams[part % len(self.streams)]) if self.streams else nullcontext()

    def __exit__(self, *failure: object) -> None:
        for stream in self.streams:
            torch.cuda.current_stream().wait_stream(stream)
