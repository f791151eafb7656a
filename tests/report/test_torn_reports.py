"""What a report leaves behind that is killed while it writes goes with the next one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.damage import TWO, check_went_on, command

pytestmark = pytest.mark.campaign


def killed_in_the_middle() -> None:
    """The process dies before the table's draft is renamed."""
    honest = os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).stem == "generalization":
            os._exit(9)
        honest(source, target)

    os.replace = replace  # type: ignore[assignment]


def killed_in_a_plot() -> None:
    os.replace = lambda *_: os._exit(9)


def drafts(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".*.part"))


def test_drafts_of_a_killed_report_go_with_the_next(tmp_path: Path) -> None:
    assert command(tmp_path, *TWO, before=killed_in_the_middle).code == 9
    study = tmp_path / "results" / "s"
    assert [path.name.split(".")[1] for path in drafts(study)] == ["generalization"]
    assert command(tmp_path, *TWO, before=killed_in_a_plot).code == 9
    killed = drafts(study)
    assert [path.parent.name for path in killed] == ["s", "plots"]
    alive, fresh, other = (study / name for name in (f".a.csv.{os.getpid()}.part", ".b.csv.999999999.part", ".c.part"))
    for path in (alive, fresh, other):
        path.touch()
    for path in {*killed, alive, other}:
        os.utime(path, (time.time() - 60,) * 2)
    check_went_on(command(tmp_path, *TWO), "generalization.md")
    assert drafts(study) == sorted([alive, fresh, other])  # of a process that lives, of just now, of somebody else


@pytest.mark.parametrize("module", ["runner", "runner.report"])
def test_a_killed_report_is_written_again(module: str, tmp_path: Path) -> None:
    assert command(tmp_path, *TWO, before=killed_in_the_middle).code == 9
    check_went_on(command(tmp_path, *(TWO if module == "runner" else ("results/s",)), module=module))
    made = {path.name for path in (tmp_path / "results" / "s").iterdir()}
    assert {"generalization.csv", "generalization.md", "report.html"} <= made
