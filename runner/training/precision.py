"""Arithmetic of the forward pass: `autocast(precision, device)`."""

from __future__ import annotations

import torch

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context in which a model of this precision runs; parameters and moments stay float32."""
    # Each weight is used once in a pass: a cache of its low copy would only outlive a CUDA graph's own memory.
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32", cache_enabled=False)
