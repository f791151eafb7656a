"""Waiting for all of submitit's jobs: `with all_waited_for():` around a launch, one that fails becomes an `Ended`.

Hydra's plugin stops waiting at the first job that failed, and looks at the first task of each alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runner.execution.cluster.launch import Ended


@dataclass(frozen=True)
class Returned:
    """As Hydra's JobReturn, of which `return_value` is read."""

    return_value: Ended


def reason(error: BaseException) -> str:
    """What went wrong in a job, in a line: the exception of its traceback, or what is said first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Interrupted)\b", line)]
    return raised[-1] if raised else " ".join([type(error).__name__ + ":", *lines[:2]])


def together(ended: Sequence[Ended]) -> Ended:
    """The tasks of a job share its shard: what one left to the others is not late."""
    return Ended(min(end.late for end in ended), "; ".join(sorted({end.problem for end in ended if end.problem})))


@contextmanager
def all_waited_for() -> Iterator[None]:
    """Does nothing where submitit is not installed."""
    try:
        from submitit.core.core import Job
    except ImportError:
        yield
        return
    honest = Job.results

    def results(job: Any) -> list[Returned]:
        try:
            return [Returned(together([found.return_value for found in honest(job)]))]
        except Exception as error:  # whatever a job can die of
            return [Returned(Ended(problem=f"job {job.job_id}: {reason(error)}"))]

    Job.results = results  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Job.results = honest  # type: ignore[method-assign]
