"""What a CUDA device needs around the training of a stack: `ready(device)`, `stream(device)`, `give_up(...)`."""

from __future__ import annotations

import functools
from contextlib import suppress

import torch

from runner.errors import UserError
from runner.system.shortage import reason


def ready(device: torch.device) -> None:
    """Prepare a CUDA device for a stack; does nothing for other kinds of device."""
    if device.type != "cuda":
        return
    torch.cuda.init()
    if device.index is not None:  # otherwise whatever uses the current device would open a context on the first one too
        torch.cuda.set_device(device)
    # cuDNN attention rebuilds its plan for every batch shape and fails on very short sequences.
    torch.backends.cuda.enable_cudnn_sdp(False)
    # What the last stack left goes back, so that the peak that is measured is this stack's.
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)


def refuse_broken(device: torch.device) -> None:
    """After an error that is not for lack of memory: UserError where the device no longer works in this process.

    Some errors of a kernel are final: everything that the process tries on the GPU afterwards fails with the same
    message, which then says nothing about the trial that tries it.
    """
    if device.type != "cuda":
        return
    try:
        torch.cuda.synchronize(device)
    except Exception as error:
        raise UserError(
            f"{device}: the GPU has failed and takes no more work in this process ({reason(error)}); no row was "
            "written for what it was training; the same command goes on from the last checkpoints"
        ) from error


@functools.cache
def stream(device: torch.device) -> torch.cuda.Stream:
    """The stream of `device` that steps are recorded on: one for all stacks, as libraries keep workspaces for each."""
    return torch.cuda.Stream(device)


def give_up(graph: torch.cuda.CUDAGraph, pool: tuple[int, int], device: torch.device) -> None:
    """After a capture into `graph`, with memory of `pool`, that failed: tell torch's allocator that it has ended.

    Where CUDA itself has ended the capture, torch 2.11 leaves its allocator in capturing mode, and emptying the cache
    fails from then on; later versions keep the memory of the pool.
    """
    try:
        graph.pool()
    except RuntimeError:  # so the capture was not ended by torch
        index = torch.cuda.current_device() if device.index is None else device.index
        for end in (torch._C._cuda_endAllocateToPool, torch._C._cuda_releasePool):
            with suppress(RuntimeError):
                end(index, pool)
