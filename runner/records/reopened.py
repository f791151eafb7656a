"""Rows that a command trains again although they are results: `.state/reopened.csv`, which only grows.

`resume=false` names them, and so does a trial whose other rows are lost. A row stays valid until a later one supersedes
it: this only says that it does not answer the question whether its trial is done, for any process, here or in a job of
a launcher, until that is so. A study that is copied without its `.state` is done as it stands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from runner.system.files import append

HEADER = "trial,row\n"


class Reopened:
    """The trials of a study's folder that are open again, each with the marks of the rows that are to be superseded."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".state" / "reopened.csv"
        self.size, self.pairs = 0, frozenset[tuple[str, str]]()

    def read(self) -> frozenset[tuple[str, str]]:
        """Trials and marks (`runner.records.superseding.mark`); none where nothing was ever begun again."""
        try:
            size = os.stat(self.path).st_size
            if size != self.size:
                lines = self.path.read_text(errors="replace").split("\n")[1:-1]  # without one that a kill has torn
                self.pairs = frozenset((trial, mark) for trial, _, mark in (line.partition(",") for line in lines))
                self.size = size
        except OSError:
            self.size, self.pairs = 0, frozenset()
        return self.pairs

    def add(self, marks: Mapping[str, str]) -> None:
        """Open trials whose row has this mark; the caller holds the study's lock."""
        new = sorted(marks.items() - self.read())
        if new:
            there = self.path.read_bytes() if self.path.exists() else b""
            begin = "" if there.endswith(b"\n") else "\n" if there else HEADER
            append(self.path, (begin + "".join(f"{trial},{mark}\n" for trial, mark in new)).encode())
