"""Which devices a command trains on, and in how many processes: `resolve(device, devices)`, `worker_count(...)`.

torch, slow to import, is asked only on a machine that has a GPU driver.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import multiprocessing
import os
import threading
from collections.abc import Sequence

from runner.errors import UserError

DRIVERS = (("cuda", "libcuda.so.1"), ("amdhip64", "libamdhip64.so"))


def resolve(device: str, devices: int) -> tuple[str, ...]:
    """The names of the devices, one process each.

    Args:
        device: "auto", "cpu", "cuda", or one by its number as "cuda:1".
        devices: how many; 0: all that there are.

    Raises:
        UserError: for a device that is not there, and for several where there is one.
    """
    if device == "cpu":
        _one(device, devices)
        return ("cpu",)
    gpus = _gpus()
    if device == "auto":
        if not gpus:
            _one("auto, here cpu", devices)
            return ("cpu",)
        device = "cuda"
    if int(device.partition(":")[2] or 0) >= gpus:
        raise UserError(f"device={device}: this machine has {gpus} CUDA devices; use device=cpu or device=auto")
    if ":" in device:
        _one(device, devices)
        return (device,)
    if devices > gpus:
        raise UserError(f"devices={devices}: this machine has {gpus} CUDA devices; use devices=all")
    count = devices or gpus
    return (device,) if count == 1 else tuple(f"cuda:{index}" for index in range(count))


def _one(device: str, devices: int) -> None:
    """Refuse several `devices` where there is a single one."""
    if devices > 1:
        raise UserError(f"devices={devices}: device={device} is a single one; on the CPU use workers={devices}")


def _is_installed(library: str, file: str) -> bool:
    """Whether the loader finds a library, be it only on LD_LIBRARY_PATH, where `find_library` does not look."""
    try:
        return bool(ctypes.util.find_library(library) or ctypes.CDLL(file))
    except OSError:
        return False


def _gpus() -> int:
    """How many GPUs torch can use."""
    if not any(_is_installed(*driver) for driver in DRIVERS):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def worker_count(wanted: int, devices: Sequence[str], stacks: int) -> int:
    """Processes to train with: one for each GPU, otherwise as many as there are cores, never more than stacks.

    `wanted`: the setting `workers`, 0 for as many as there are cores; `devices`: as `resolve` gives them. A job of a
    launcher such as joblib is itself one of several processes and starts no more.
    """
    if _in_a_job():
        return 1
    if devices[0].startswith("cuda"):
        return max(1, min(len(devices), stacks))
    return max(1, min(wanted or cores(), stacks))


def train_apart(wanted: int, devices: Sequence[str], stacks: int) -> bool:
    """Whether this process leaves all training to others, and imports meanwhile what the report needs.

    `wanted`, `devices` and `stacks` as in `worker_count`. So it is with several processes, and with one where the user
    leaves their number open and has a core to spare.
    """
    if worker_count(wanted, devices, stacks) > 1:
        return True
    alone = _in_a_job() or threading.current_thread() is not threading.main_thread()
    return not wanted and devices[0] == "cpu" and cores() > 1 and not alone


def _in_a_job() -> bool:
    """Whether this is a process that a launcher such as joblib has started."""
    return multiprocessing.current_process().name != "MainProcess"


def cores() -> int:
    """How many cores this process may use, as `taskset` and schedulers of clusters limit them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
