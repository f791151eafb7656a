"""Plots are the same under any settings of matplotlib, and one that cannot be drawn costs itself alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.analysis.blocks import split
from runner.records import read
from runner.report.plots import heatmap, style
from runner.report.plots.scatter import scatter
from runner.report.write import write_report
from tests.report.studies import search, write

STYLE = "text.usetex: True\nfont.family: nope\nbackend: GTK3Agg\naxes.facecolor: red\nno.such.key: 1\n"
ONE = "scatter.png"
Plain = tuple[Path, bytes]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what this process draws nobody looks at the pixels."""
    monkeypatch.setattr(style, "DPI", 40)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write(tmp_path / "made-up", search(seeds=(0,), lrs=(1e-3, 1e-2)))


def drawn(folder: Path, at: Path, **environment: str) -> tuple[bytes, str]:
    """One plot's bytes, and what a report in a process of its own said on stderr."""
    words = [sys.executable, "-m", "runner.report", str(folder)]
    env = {key: text for key, text in os.environ.items() if key != "HOME" or "HOME" not in environment} | environment
    (folder / "plots" / ONE).unlink(missing_ok=True)  # so that none of an earlier report is read
    done = subprocess.run(words, cwd=at, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "left out" not in done.stdout.replace("left out: no ", ""), done.stdout
    return (folder / "plots" / ONE).read_bytes(), done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """A study, and one of its plots as it is drawn without any setting."""
    at = tmp_path_factory.mktemp("plain")
    folder = write(at / "made-up", search(seeds=(0,), lrs=(1e-3, 1e-2)))
    found, said = drawn(folder, at)
    assert said == ""
    return folder, found


# Two in one process where neither hides the other.
@pytest.mark.parametrize(
    "environment",
    [
        {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "HOME": "/nonexistent"},
        {"MPLBACKEND": "no such backend", "MPLCONFIGDIR": "/proc/nowhere"},
        {"MATPLOTLIBRC": "style"},
    ],
    ids=str,
)
def test_no_setting_of_matplotlib_changes_a_plot(environment: dict[str, str], plain: Plain, tmp_path: Path) -> None:
    (tmp_path / "style").write_text(STYLE)
    folder, wanted = plain
    assert drawn(folder, tmp_path, **environment) == (wanted, "")


def test_the_callers_settings_are_as_before(study: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"axes.facecolor": "red", "font.family": ["serif"]}):
        write_report(study)
        assert matplotlib.rcParams["axes.facecolor"] == "red"
        assert matplotlib.rcParams["font.family"] == ["serif"]


@pytest.mark.parametrize("label", [r"$\frac{a}$", "$$", r"a_b^c %", "\U0001f600 漢字", r"\badcommand $x"])
def test_a_label_is_text_and_no_formula(label: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "made-up", search(("adamw",), seeds=(0,), lrs=(1e-3, 1e-2), dataset=label))
    report = write_report(folder)
    assert "cannot be drawn" not in report.terminal
    assert (folder / "plots" / ONE) in report.files
    title = scatter(split(read.read(folder))[0])
    assert title is not None
    assert label in title.get_suptitle()


def test_a_plot_that_fails_is_left_out_and_said_and_all_else_is_written(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("no\nroom")

    whole = {path.name for path in write_report(study).files}
    monkeypatch.setattr(heatmap, "heatmap", fail)
    report = write_report(study)
    assert {path.name for path in report.files} == whole - {"heatmap.png"}
    lines = [line for line in report.terminal.splitlines() if "left out" in line]
    assert lines == ["heatmap.png left out: it cannot be drawn (ZeroDivisionError: no room)"]
    assert not (study / "plots" / "heatmap.png").exists()  # an older one would contradict the table


def test_without_matplotlib_at_all_there_are_tables_and_claims(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    report = write_report(study)
    names = {path.name for path in report.files}
    assert {"generalization.csv", "generalization.md", "report.html"} <= names
    assert not any(name.endswith(".png") for name in names)
    assert "scatter.png left out: it cannot be drawn (ModuleNotFoundError" in report.terminal
