"""Devices and their clocks: which one this is, how long a call takes on it, and how fast it copies."""

from __future__ import annotations

import platform
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

import torch

from runner.execution.provenance import processor

CUDA = torch.cuda.is_available()
LARGE = 1 << 28  # bytes, several times what caches hold


def add_device(parser: ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda" if CUDA else "cpu", help="cpu, cuda, cuda:1 ... (%(default)s)")


def add_precision(parser: ArgumentParser, default: str) -> None:
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=default, help="of the products (%(default)s)")


def refuse_unusable(parser: ArgumentParser, chosen: Namespace) -> None:
    """End with one line where the device is missing or the CSV file cannot be written, before anything is measured."""
    try:
        torch.empty(1, device=chosen.device)
    except (RuntimeError, AssertionError) as error:
        parser.error(f"--device {chosen.device}: {str(error).splitlines()[0]}")
    if chosen.csv:
        try:
            chosen.csv.open("a").close()
        except OSError as error:
            parser.error(f"--csv {chosen.csv}: cannot be written ({error.strerror})")


def device_name(device: torch.device | str) -> str:
    """The model of a GPU or of this machine's processor."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def machine(device: torch.device | str) -> str:
    """What the first line of a benchmark says about where it runs."""
    return f"{device_name(device)}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}"


def stamps(device: torch.device | str) -> dict[str, object]:
    """The last columns of a row: where it was measured."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"device": device_name(device), "threads": torch.get_num_threads(), **versions}


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clocked(call: Callable[[], object], device: torch.device, repeat: int = 1) -> float:
    """Microseconds of one call, the mean of `repeat` in a row; on CUDA the time between two events around them."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        begin.record()
        for _ in range(repeat):
            call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e3 / repeat
    start = time.perf_counter()
    for _ in range(repeat):
        call()
    return (time.perf_counter() - start) * 1e6 / repeat


class Memory:
    """Two buffers that no cache holds: to copy, for the bandwidth of the machine, and to empty caches."""

    def __init__(self, device: torch.device) -> None:
        size = LARGE * (4 if device.type == "cuda" else 1)
        self.device, self.moved = device, 2 * size
        self.source = torch.randn(size // 4, device=device)
        self.target = torch.empty_like(self.source)
        self._some = self.target[: LARGE // 4]

    def copy(self) -> None:
        self.target.copy_(self.source)

    def evict(self) -> None:
        self._some.zero_()
