"""The step on a GPU: one Triton kernel for all tensors of a step, `kernel`, and the host's side of it, `launch`."""

from __future__ import annotations

from typing import Any

import torch


def kernel_for(device: torch.device) -> Any:
    """The module `optim.cuda.kernel`, ready to run on `device`; ImportError says what is missing for that."""
    try:
        import triton

        from optim.cuda import kernel
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("triton"):
            raise
        raise ImportError("the step on a GPU needs Triton: pip install triton") from error
    if device.type == "cuda":
        try:
            _ = triton.runtime.driver.active  # Triton compiles its driver when this is first read
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ImportError(
                "the GPU step needs Triton, and Triton needs a C compiler (install gcc or set CC): " + reason
            ) from error
    elif isinstance(kernel.step, triton.JITFunction):
        raise ValueError(f"parameters are on {device}: one launch steps CUDA tensors")
    return kernel
