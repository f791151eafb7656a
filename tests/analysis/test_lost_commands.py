"""Claims about rows for which no command on record asks: the plan is then not known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from runner.analysis.primary import results_of
from tests.analysis.test_results import with_finals
from tests.analysis.test_select import frame
from tests.report.studies import replicated


def asked(rows: pd.DataFrame) -> dict[str, Any]:
    """The settings of a command that asks for just these rows."""
    first = rows[(rows["replicate"] == 0) & (rows["phase"] == "search")]
    seeds = rows[(rows["phase"] == "final") & (rows["replicate"] == 0)]["seed"].nunique()
    return {
        "replicates": int(rows["replicate"].max()) + 1,
        "final_seeds": int(seeds),
        "lr": [float(lr) for lr in sorted(set(first["lr"]))],
        "seed": [int(seed) for seed in sorted(set(first["seed"]))],
        "optimizer": {"name": "adamw"},
    }


def unknown(folder: Path, rows: pd.DataFrame, settings: dict[str, Any]) -> str:
    (folder / "study.yaml").write_text(yaml.safe_dump({"settings": [settings]}))
    (found,) = results_of(folder, rows)
    assert found.protocol.looks == bool(found.protocol.unknown)
    return "; ".join(found.protocol.unknown)


@pytest.mark.parametrize(
    ("key", "less", "what"),
    [
        ("replicates", 4, "replicates"),
        ("final_seeds", 0, "fresh seeds"),
        ("lr", [1.0], "learning rates"),
        ("seed", [7], "search seeds"),
        ("optimizer", {"name": "sgd"}, "optimizers"),
    ],
)
def test_rows_beyond_what_the_commands_ask_for_tell_that_one_is_lost(
    tmp_path: Path, key: str, less: object, what: str
) -> None:
    rows = frame(replicated(with_finals(-0.5, 0.1)))
    whole = asked(rows)
    assert unknown(tmp_path, rows, whole) == ""
    assert unknown(tmp_path, rows, whole | {key: less}) == (
        f"its rows have {what} for which no command in study.yaml asks"
    )
    other = {name: value for name, value in whole.items() if name != key}
    if key != "replicates":  # without the key it is one
        assert unknown(tmp_path, rows, other) == ""


def test_replicates_that_were_added_until_sure_are_asked_for(tmp_path: Path) -> None:
    rows = frame(replicated(with_finals(-0.5, 0.1)))
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump({"settings": [asked(rows) | {"replicates": 0, "max_replicates": 20}]})
    )
    (found,) = results_of(tmp_path, rows)
    assert found.protocol.unknown == ()
