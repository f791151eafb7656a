"""What a person sees while a sweep trains: one bar over all trials on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from tqdm import tqdm

SILENCE = 60.0  # seconds between two lines of progress where stderr is no terminal, such as a file or a job's log
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}, {remaining} left{postfix}]"


class Progress:
    """Shows events of `runner.execution.worker`: mere progress as a bar, or once a minute as a line without a terminal.

    Args:
        total: trials of the phase.
        done: those of them that have a row already.
        label: what stands before the bar.
    """

    def __init__(self, total: int, done: int, label: str) -> None:
        self.total, self.done, self.label = total, done, label
        self.late: set[str] = set()  # trials that max_minutes left to a later call, in the view of some process
        self.needed = math.inf  # seconds that the shortest stack of these takes, as far as that is known
        self.open, self.short = set[str](), ""  # trials that were left open for want of memory, and why
        self.best, self.epoch = math.inf, ""
        self.under_way: dict[str, float] = {}  # first trial of a stack -> what those not done count so far, in trials
        self.before, self.began = done, time.monotonic()
        self.lines = self.began  # when the last line of progress was written
        self.bar = tqdm(total=total, initial=done, desc=label, disable=None, dynamic_ncols=True, bar_format=_FORMAT)
        self._show()

    def tell(self, kind: str, content: Any) -> None:
        """Take in an event as `runner.execution.worker.work` tells it; one of another kind is a line of its own."""
        if kind == "epoch":
            stack, training, epoch, epochs, error = content  # `training`: its trials that have not ended
            self.under_way[stack] = training * epoch / epochs
            self.best = min(self.best, math.inf if error is None else error)
            self.epoch = f", epoch {epoch}/{epochs}"
        elif kind == "trials":
            self.under_way.pop(content[0][0], None)
            self.done += len(content)
            for trial, status, note in content:
                if status == "failed":
                    self.say(f"trial {trial} failed: {note}")
        elif kind == "late":
            ids, needed = content
            self.late.update(ids)
            self.needed = min(self.needed, needed or math.inf)
        elif kind == "open":
            ids, self.short = content
            self.open.update(ids)
        elif kind == "waiting":
            self.say(f"waiting for {content} trials that another command trains")
        else:
            self.say(str(content))
        self._show()

    def _show(self) -> None:
        best = f", best val error {self.best:.2f} %" if self.best < math.inf else ""
        counts, reached = f"{self.done}/{self.total} trials", min(self.total, self.done + sum(self.under_way.values()))
        if self.bar.disable:
            self._line(counts, reached, best)
            return
        self.bar.set_postfix_str(f"{counts}{self.epoch}{best}", refresh=False)
        self.bar.update(reached - self.bar.n)

    def _line(self, counts: str, reached: float, best: str) -> None:
        """Write how far it is, unless that was said within the last minute. `reached` counts parts of trials too."""
        now = time.monotonic()
        if now - self.lines < SILENCE:
            return
        self.lines, trained = now, reached - self.before
        took = now - self.began
        left = took * (self.total - reached) / trained if trained > 0 else math.inf
        rest = f", about {tqdm.format_interval(left)} left" if left < math.inf else ""
        self.say(f"{self.label}: {counts} after {tqdm.format_interval(took)}{rest}{best}")

    def say(self, text: str) -> None:
        """Write `text`, a line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self.bar.close()


def counted(number: int, noun: str) -> str:
    """A `number` of things: `1 stack`, `2 stacks`; a noun in -s gets -es."""
    return f"{number} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"
