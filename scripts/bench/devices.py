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
    """Add the option --device, by default a GPU where there is one."""
    parser.add_argument("--device", default="cuda" if CUDA else "cpu", help="cpu, cuda, cuda:1 ... (%(default)s)")


def add_precision(parser: ArgumentParser, default: str) -> None:
    """Add the option --precision, "fp32" or "bf16"."""
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=default, help="of the products (%(default)s)")


def refuse_unusable(parser: ArgumentParser, chosen: Namespace) -> None:
    """End `parser` with one line where the device is missing or the CSV file cannot be written.

    `chosen`: the options --device and --csv. Called before anything is measured.
    """
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
    """What the first line of a benchmark on `device` says about where it runs."""
    return f"{device_name(device)}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}"


def stamps(device: torch.device | str) -> dict[str, object]:
    """The last columns of a row: where it was measured, on `device`."""
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    return {"device": device_name(device), "threads": torch.get_num_threads(), **versions}


def synchronize(device: torch.device) -> None:
    """Wait for what was queued on a GPU; nothing is queued on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def clocked(call: Callable[[], object], device: torch.device, repeat: int = 1) -> float:
    """Microseconds of one call, the mean of `repeat` in a row; on a CUDA `device` between two events around them."""
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
    """Two buffers on `device` that no cache holds: to copy, for its bandwidth, and to empty caches.

    A copy has `moved` so many bytes, read and written.
    """

    def __init__(self, device: torch.device) -> None:
        size = LARGE * (4 if device.type == "cuda" else 1)
        self.device, self.moved = device, 2 * size
        self.source = torch.randn(size // 4, device=device)
        self.target = torch.empty_like(self.source)
        self._some = self.target[: LARGE // 4]

    def copy(self) -> None:
        """Copy one buffer into the other."""
        self.target.copy_(self.source)

    def evict(self) -> None:
        """Overwrite so much that no cache holds anything else."""
        self._some.zero_()
