"""Who trains what: a claim is a file lock on a trial, held while it trains and released by the system at death.

So any number of processes may work on one study: each trial is trained once, and the trials of a process that
is killed are free again at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from runner.errors import UserError
from runner.lock import Lock, refused


class Claims:
    """The trials that this process has claimed in a study's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".state" / "claims"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise refused(self.folder, error) from error
        self.held: dict[str, Lock] = {}

    def take(self, trials: Iterable[str]) -> set[str]:
        """Claim what nobody else holds; the ids that are now ours."""
        ours: set[str] = set()
        for trial in trials:
            lock = Lock(self.folder / trial)
            try:
                if not lock.take(0):
                    continue
            except UserError:
                self.give(ours, set())
                raise
            self.held[trial] = lock
            ours.add(trial)
        return ours

    def give(self, trials: Iterable[str], done: set[str]) -> None:
        """Release claims. A lock's file goes only when its trial is `done`: whoever locks it later sees the row."""
        for trial in trials:
            self.held.pop(trial).release(remove=trial in done)
