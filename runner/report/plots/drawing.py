"""matplotlib with its own defaults, whatever a notebook, a matplotlibrc or the machine sets: `with pinned():`.

Backend, fonts, colours and TeX are the defaults, and messages about caches and glyphs are not shown.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def pinned() -> Iterator[None]:
    """Import matplotlib and draw with its own defaults; the caller's settings are as before afterwards."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        _import()
        from matplotlib import rc_context, rcdefaults

        with warnings.catch_warnings(), rc_context():
            warnings.simplefilter("ignore")
            rcdefaults()
            yield
    finally:
        logger.setLevel(level)


def _import() -> None:
    """Import it without the backend that the environment names, which may be a notebook's or not installed."""
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib  # noqa: F401
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
