"""Waiting for all of submitit's jobs: `with all_waited_for():` around a launch, a failed one is a `ShardOutcome`.

Hydra's plugin stops waiting at the first job that failed, and looks at the first task of each alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from runner.execution.cluster.launch import ShardOutcome


def reason(error: BaseException) -> str:
    """What went wrong in a job, in a line: the exception of the traceback in `error`, or what it says first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt|Interrupted)\b", line)]
    return raised[-1] if raised else " ".join([type(error).__name__ + ":", *lines[:2]])


def together(outcomes: Sequence[ShardOutcome]) -> ShardOutcome:
    """One outcome for the tasks of a job, which share its shard: what one left to the others is not late.

    `outcomes`: of the tasks, one at least.
    """
    problems = sorted({outcome.problem for outcome in outcomes if outcome.problem})
    return ShardOutcome(min(outcome.late for outcome in outcomes), "; ".join(problems))


@contextmanager
def all_waited_for() -> Iterator[None]:
    """Does nothing where submitit is not installed."""
    try:
        from submitit.core.core import Job
    except ImportError:
        yield
        return
    honest = Job.results

    def results(job: Any) -> list[SimpleNamespace]:
        """As lists of Hydra's JobReturn, of which `return_value` is read."""
        try:
            outcome = together([task.return_value for task in honest(job)])
        except Exception as error:  # whatever a job can die of
            outcome = ShardOutcome(problem=f"job {job.job_id}: {reason(error)}")
        return [SimpleNamespace(return_value=outcome)]

    Job.results = results  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Job.results = honest  # type: ignore[method-assign]
