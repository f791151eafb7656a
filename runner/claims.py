"""Who trains what: a claim is a file lock on a trial, held while it trains and released by the system at death.

So any number of processes may work on one study: each trial is trained once, and the trials of a process that
is killed are free again at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from runner.lock import refused


class Claims:
    """The trials that this process has claimed in a study's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".state" / "claims"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(self.folder, error) from error
        self.held: dict[str, FileLock] = {}

    def take(self, trials: Iterable[str]) -> set[str]:
        """Claim what nobody else holds; the ids that are now ours."""
        ours: set[str] = set()
        for trial in trials:
            lock = FileLock(self.folder / trial, timeout=0)
            try:
                lock.acquire()
            except Timeout:
                continue
            except (OSError, NotImplementedError) as error:
                self.give(ours, set())
                raise refused(self.folder, error) from error
            self.held[trial] = lock
            ours.add(trial)
        return ours

    def give(self, trials: Iterable[str], done: set[str]) -> None:
        """Release claims. A lock's file goes only when its trial is `done`: whoever locks it later sees the row."""
        for trial in trials:
            lock = self.held.pop(trial)
            if trial in done:
                Path(lock.lock_file).unlink(missing_ok=True)
            lock.release()
