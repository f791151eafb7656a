"""How much of a study is done while its jobs run, or after some were lost: `progress_note(folder)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runner.execution.cluster.shards import LaunchLog
from runner.records import identity, read
from runner.records.commands import entries
from runner.trials.plan import planned_trials

SHOWN = 8  # shards that are named one by one


def progress_note(folder: Path) -> str:
    """One sentence or two, or nothing where every planned trial has its row. UserError for unreadable records."""
    launched = LaunchLog(folder).read()
    named = {row["trial"] for row in launched} | planned_trials(folder / "plan.csv")
    planned = {trial for trial in named if len(trial) == identity.LENGTH}
    # Not what a kill has left of a longer one.
    planned |= {t for t in named if len(t) == identity.OLD} - {trial[: identity.OLD] for trial in planned}
    if not planned:
        return ""
    rows = read.read(folder) if read.exists(folder) else None
    done = set() if rows is None else set(rows["trial"])
    if planned <= done:
        return ""
    count = len(planned & done)
    text = (
        f"Partial: {count} of {len(planned)} planned trials have a row ({count / len(planned):.0%}); numbers may change"
    )
    final = rows is not None and (rows["phase"] == "final").any()
    if _final_seeds(folder) and not final and not any(row["phase"] == "final" for row in launched):
        text += ", and the fresh-seed runs come after these"
    return ". ".join([text, *_shards(launched, done)]) + "."


def _shards(launched: Sequence[Mapping[str, str]], done: set[str]) -> list[str]:
    """How far the jobs of the last launch are."""
    parts: dict[str, set[str]] = {}
    for row in launched:
        if (row["launched"], row["phase"]) == (launched[-1]["launched"], launched[-1]["phase"]):
            parts.setdefault(row["shard"], set()).add(row["trial"])
    whole = sum(part <= done for part in parts.values())
    if whole == len(parts):
        return []
    if len(parts) > SHOWN:
        return [f"Of the {len(parts)} shards launched last, {whole} are done"]
    each = (f"{number}: {len(part & done)} of {len(part)}" for number, part in parts.items())
    return [f"Shards launched last: {', '.join(each)}"]


def _final_seeds(folder: Path) -> int:
    """The fresh seeds that the last command asked for."""
    try:
        return int(entries(folder)[-1]["settings"][0]["final_seeds"])
    except (ValueError, TypeError, LookupError):
        return 0
