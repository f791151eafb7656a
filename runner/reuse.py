"""Rows that other code made, which a command counts as done: `of_other_code(rows)` says so in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.code import fingerprint

if TYPE_CHECKING:
    import pandas as pd


def of_other_code(rows: pd.DataFrame) -> str:
    """One line about those `rows` of trials.csv that were made by other code than runs; empty if there are none."""
    own = fingerprint()
    other = rows[rows["code"] != own]
    if not own or other.empty:
        return ""
    kinds = other.groupby(["version", "commit", "code"], sort=True).size().sort_values(ascending=False, kind="stable")
    version, commit, code = kinds.index[0]
    named = [
        f"version {version}" if version else "",
        f"commit {commit}" if commit else "",
        f"code {code or 'not on record'}",
    ]
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    return (
        f"{len(other)} of {len(rows)} rows were made by other code ({', '.join(filter(None, named))}{more}) than this "
        f"(code {own}): they count as they are; resume=false trains them again"
    )
