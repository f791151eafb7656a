"""Two processes that stay and run functions together: `Ranks`. They meet in a file, so no port is taken."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

WORLD = 2
LAST_RESORT = timedelta(minutes=20)  # for a rank that waits for one that has gone; `Ranks` ends both long before


class Ranks:
    """`ranks(function, *args)` calls the function in both processes and returns what it returned in each."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._ends, self._processes = [], []
        for rank in range(WORLD):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(rank, folder / "store", there), daemon=True)
            process.start()
            there.close()
            self._ends.append(here)
            self._processes.append(process)

    def __call__(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        if not self._ends:
            raise AssertionError("an earlier test has ended the processes")
        for end in self._ends:
            end.send((function, args))
        found: dict[int, Any] = {}
        while len(found) < WORLD:
            for end in wait([end for rank, end in enumerate(self._ends) if rank not in found]):
                rank = self._ends.index(end)  # type: ignore[arg-type]
                try:
                    found[rank], error = end.recv()  # type: ignore[union-attr]
                except EOFError:
                    error = "it has ended"
                if error:  # the other may wait for this one for ever
                    self.close()
                    raise AssertionError(f"rank {rank}: {error}")
        return [found[rank] for rank in range(WORLD)]

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        self._ends, self._processes = [], []


def _serve(rank: int, store: Path, end: Connection) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{store}", timeout=LAST_RESORT, rank=rank, world_size=WORLD)
    while True:
        try:
            function, args = end.recv()
        except EOFError:  # the test process has gone
            return
        try:
            end.send((function(*args), None))
        except BaseException:
            end.send((None, traceback.format_exc()))
