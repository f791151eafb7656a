"""The Triton kernel, where it can run: `kernel_for(device)`. Only this and `optim.cuda.kernel` import Triton."""

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
            _ = triton.runtime.driver.active  # is compiled where it has not been yet
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ImportError(
                f"the step on a GPU needs Triton, and that a C compiler, such as gcc: {reason}"
            ) from error
    elif isinstance(kernel.step, triton.JITFunction):
        raise ValueError(f"parameters are on {device}: one launch steps CUDA tensors")
    return kernel
