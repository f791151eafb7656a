"""How tests wait: for an event, never for a time. `until(done, process)` returns when `done()` does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

# Seconds, the last resort of every wait: so long that only what hangs for ever comes to it, on any machine under any
# load. No test asserts that something is fast; what must be is measured by a benchmark in scripts/.
PATIENCE = 1200.0


def until(done: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait until `done()` is true.

    Args:
        done: asked again and again; cheap.
        process: that is to bring it about. If it ends before, the test fails with what it said, at once.
    """
    end = time.monotonic() + PATIENCE
    while not done():
        if process is not None and process.poll() is not None and not done():
            out, err = process.communicate()
            raise AssertionError(f"ended with status {process.returncode} before its time:\n{out or ''}{err or ''}")
        assert time.monotonic() < end, f"nothing happened in {PATIENCE:g} seconds"
        time.sleep(0.02)
