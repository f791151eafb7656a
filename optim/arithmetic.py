"""Whole numbers: `ceil_div(a, b)`. Imports nothing."""

from __future__ import annotations


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up: how many parts of size `b`, the last maybe smaller, `a` is cut into. `b` is above 0."""
    return -(-a // b)
