"""Random numbers as a pure function of (seed, purpose, epoch): nothing to save, nothing that depends on neighbours."""

from __future__ import annotations

import hashlib

import torch


def generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A fresh CPU generator; the same three arguments give the same numbers on every machine and device."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
