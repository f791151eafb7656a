"""What a person sees while a sweep trains: one bar over all trials on a terminal, a line for each event elsewhere."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

from tqdm import tqdm


class Progress:
    """Shows events of `runner.execute`; silent about mere progress when stderr is not a terminal."""

    def __init__(self, total: int, done: int, label: str) -> None:
        self.bar = tqdm(total=total, initial=done, desc=label, unit="trial", disable=None, dynamic_ncols=True)
        self.best, self.epoch = math.inf, ""
        self.status: Counter[str] = Counter()
        self.late = 0

    def tell(self, kind: str, content: Any) -> None:
        if kind == "epoch":
            epoch, epochs, error = content
            self.best = min(self.best, error) if error is not None else self.best
            self.epoch = f"epoch {epoch}/{epochs}"
        elif kind == "trials":
            self.bar.update(len(content))
            for trial, status, note in content:
                self.status[status] += 1
                if status == "failed":
                    self.say(f"trial {trial} failed: {note}")
        elif kind == "late":
            self.late += content
        elif kind == "waiting":
            self.say(f"waiting for {content} trials that another process trains")
        else:
            self.say(str(content))
        best = f", best val error {self.best:.2f} %" if self.best < math.inf else ""
        self.bar.set_postfix_str(self.epoch + best, refresh=False)

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.bar.write(text, file=sys.stderr)

    def close(self) -> None:
        self.bar.close()
