"""CUDA streams for work that may go on side by side: `with Branches(device) as fork:`, then `with fork(i):` for part i.

Inside a CUDA graph they become branches of it. All parts begin after what was queued before, and what is queued after
the `with` waits for all of them.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

COUNT = 16  # streams; of more parts that wait for each other a GPU runs none sooner


@functools.cache
def streams(device: torch.device) -> tuple[torch.cuda.Stream, ...]:
    """The same for all stacks, since libraries keep workspaces for each; none on other devices."""
    return tuple(torch.cuda.Stream(device) for _ in range(COUNT)) if device.type == "cuda" else ()


class Branches:
    """`parts`: how many there will be. Whatever a part is given or gives must be kept until the end of the `with`."""

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
