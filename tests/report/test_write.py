"""Claims about the files: all are written, odd studies do not crash, bad input is one line and status 2."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from runner.analysis.blocks import split
from runner.analysis.select import winners
from runner.errors import UserError
from runner.records import read
from runner.records.identity import id_of
from runner.records.schema import TRIALS
from runner.report.__main__ import main
from runner.report.plots import style
from runner.report.plots.colours import colour_range
from runner.report.plots.heatmap import heatmap
from runner.report.plots.scatter import scatter
from runner.report.write import write_report
from tests.report.studies import LRS, final, search, trial, write


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with one diverged trial, and fresh runs of the winners."""
    folder = tmp_path_factory.mktemp("results") / "made-up"
    rows = search()
    rows[7] = trial("adam", 3e-4, 1e-1, 0, status="diverged")
    write(folder, rows)
    for row in winners(read.read(folder)).to_dict("records"):
        write(folder, final({str(key): value for key, value in row.items()}, range(100, 105)))
    return folder


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims here are about files and words: fewer pixels say the same sooner."""
    monkeypatch.setattr(style, "DPI", 40)


def test_everything_is_written_and_nothing_else_is_left(study: Path) -> None:
    report = write_report(study)
    names = [path.relative_to(study).as_posix() for path in report.files]
    plots = ["verdict", "tuning", "heatmap", "heatmap_paper_units", "error_vs_wd", "curves", "scatter"]
    pages = ["generalization.csv", "generalization.md", "claims.csv", "claims.md"]
    pages += ["tuning.csv", "rules.csv", "report.html"]
    assert names == [*pages, *(f"plots/{name}.png" for name in plots)]
    assert not report.skipped
    assert all(path.stat().st_size > 500 for path in report.files)
    assert sorted(path.name for path in (study / "plots").iterdir()) == sorted(f"{name}.png" for name in plots)
    assert not list(study.glob(".*.part"))


def test_the_csv_reads_back_and_the_markdown_links_the_plots(study: Path) -> None:
    if not (study / "generalization.csv").exists():
        write_report(study)
    row = pd.read_csv(study / "generalization.csv").set_index("arm").loc["AdamW"].to_dict()
    assert (row["verdict"], row["n"], row["reference"]) == ("no verdict (one replicate)", 5, "Adam + L2")
    assert row["difference_high"] < 0
    text = (study / "generalization.md").read_text()
    assert "(plots/heatmap.png)" in text
    assert "come from fresh seeds" in text


def test_equal_data_give_equal_bytes(study: Path, tmp_path: Path) -> None:
    block = split(read.read(study))[0]
    found = []
    for name in ("first.png", "second.png"):
        figure = scatter(block)
        assert figure is not None
        found.append(style.save(figure, tmp_path / name).read_bytes())
    assert found[0] == found[1]


def test_titles_and_captions_name_quantity_unit_and_count(study: Path) -> None:
    block = split(read.read(study))[0]
    figure = heatmap(block)
    assert figure is not None
    assert "Mean validation error over 2 search seeds" in figure.get_suptitle()
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == [
        "L2 coefficient",
        "weight decay (torch: per step lr × wd)",
    ]
    assert "clipped at" in figure.axes[2].get_ylabel()
    points = scatter(block)
    assert points is not None
    assert "1 diverged left out" in points.get_supxlabel()


def test_plot_titles_say_selected_on_test_and_one_seed(tmp_path: Path) -> None:
    rows = [row | {"val_size": 0, "val_error": None, "val_loss": None} for row in search(seeds=(0,))]
    block = split(read.read(write(tmp_path, rows)))[0]
    for figure in (heatmap(block), scatter(block)):
        assert figure is not None
        assert "selected on test" in figure.get_suptitle()
    one = heatmap(block)
    assert one is not None
    assert "one seed" in one.get_suptitle()


def test_colours_run_from_the_best_to_a_saturation() -> None:
    low, high = colour_range([pd.DataFrame({"score": [3.0, 3.5, 4.0, 5.0, 90.0]})])
    assert (low, high) == (3.0, 6.0)
    low, high = colour_range([pd.DataFrame({"score": [2.1, 2.2, 2.3, 2.4, 3.5]})], loss=True)  # its zero means nothing
    assert (low, high) == pytest.approx((2.1, 2.3 + 0.1 * 2 / 3))
    assert colour_range([pd.DataFrame({"score": [float("nan")]})]) == (0.0, 1.0)


def test_blocks_get_files_of_their_own_and_stale_plots_go(tmp_path: Path) -> None:
    one = search(lrs=LRS[:1], seeds=(0,), settings={"model.width": 8})
    write(tmp_path, one)
    write_report(tmp_path)
    assert (tmp_path / "plots" / "heatmap.png").exists()
    (tmp_path / "plots" / "mine.png").write_bytes(b"not ours")
    write(tmp_path, search(lrs=LRS[:1], seeds=(0,), settings={"model.width": 16}))
    report = write_report(tmp_path)
    assert {path.name for path in report.files} >= {"heatmap_width8.png", "heatmap_width16.png"}
    assert not (tmp_path / "plots" / "heatmap.png").exists()
    assert (tmp_path / "plots" / "mine.png").exists()
    assert len(pd.read_csv(tmp_path / "generalization.csv")) == 6


def test_a_study_with_one_trial(tmp_path: Path) -> None:
    report = write_report(write(tmp_path, [trial("adamw", 1e-3, 0.01, 0)]))
    assert "AdamW" in report.terminal
    assert "one seed" in report.terminal
    assert any("heatmap.png left out" in line for line in report.skipped)


def test_a_study_with_only_failed_trials(tmp_path: Path) -> None:
    report = write_report(write(tmp_path, [trial("adam", 1e-3, wd, 0, status="failed") for wd in (0.0, 0.1, 0.2)]))
    assert "all 2 trials failed" in report.terminal
    assert not [path for path in report.files if path.suffix == ".png" and "heatmap" not in path.name]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, [trial("adamw", 1e-3, 0.01, seed) for seed in (0, 1)])
    whole = write_report(tmp_path).terminal
    for name in ("trials.csv", "curves.csv"):
        with (tmp_path / name).open("a") as file:
            file.write("made-up,search-12,sea")
    assert write_report(tmp_path).terminal == whole


def test_a_study_without_rows_or_curves(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_text(",".join(TRIALS) + "\n")
    report = write_report(tmp_path)
    assert "no trials yet" in report.terminal
    assert report.files == ()
    write(tmp_path, search(lrs=LRS[:1], seeds=(0,)), curves=False)
    assert any("curves.png left out" in line for line in write_report(tmp_path).skipped)


def test_one_validation_a_run_makes_no_plot_of_learning_curves(tmp_path: Path) -> None:
    write(tmp_path, search(lrs=LRS[:1], seeds=(0,)))
    assert not any("curves.png" in line for line in write_report(tmp_path).skipped)
    rows = pd.read_csv(tmp_path / "curves.csv", dtype=str, keep_default_na=False)
    rows[rows.epoch == rows.epoch.max()].to_csv(tmp_path / "curves.csv", index=False)
    report = write_report(tmp_path)
    assert any("curves.png left out: no winner was validated more than once" in line for line in report.skipped)
    assert not (tmp_path / "plots" / "curves.png").exists()


@pytest.mark.parametrize("seed", range(6))
def test_odd_studies_do_not_crash(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    rows = search(("adam", "adamw", "sgd", "sgdw"), lrs=(1e-3, 1e-2), wds={"l2": (1e-3, 1e-2), "torch": (0.1, 1.0)})
    rows = [dict(row) for row in rng.sample(rows, rng.randint(1, len(rows)))]
    for row in rows:
        for name in rng.sample(["val_error", "test_error", "train_loss", "val_loss", "test_loss", "gap_error"], 2):
            row[name] = rng.choice([None, float("nan"), 0.0, 100.0, row.get(name)])
        row["val_loss"] = rng.choice([float("inf"), 1e300, row.get("val_loss")])
        row["status"] = rng.choice(["ok", "ok", "diverged", "failed"])
        row["phase"] = rng.choice(["search", "search", "final"])
        settings = rng.choice([None, None, "", "{", "[]", '{"model.width": null}'])
        if settings is not None:  # else the row's cells must say what its settings say
            row["settings"] = settings
            row["trial"] = id_of(json.loads(settings)) if settings.endswith("}") else f"odd-{rng.random()}"
            row["optimizer"] = rng.choice([row["optimizer"], "lion"])
            row["wd"] = rng.choice([row["wd"], 0.0, 1e-300, None])
        row["val_size"] = rng.choice([row.get("val_size"), 0, None])
    report = write_report(write(tmp_path, rows, curves=rng.random() < 0.5))
    assert max(map(len, report.terminal.splitlines())) <= 100 or "no trials" in report.terminal


@pytest.mark.parametrize("content", [None, "a,b,c\n1,2,3\n", b"\xff\xfe\x00"])
def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, content: str | bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "trials.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    assert main([str(tmp_path)]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_undecodable_rows_are_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").write_bytes(
        (",".join(TRIALS) + "\n").encode() + b",".join([b"\xff"] * len(TRIALS)) + b"\n"
    )
    with pytest.raises(UserError):
        write_report(tmp_path)


def test_one_bad_folder_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, [trial("adamw", 1e-3, 0.01, 0)])
    assert main([str(tmp_path / "nowhere"), str(tmp_path)]) == 2
    out, error = capsys.readouterr()
    assert "AdamW" in out
    assert "wrote" in out
    assert "nowhere" in error


def test_help_answers_without_matplotlib_and_status_0() -> None:
    code = "import sys, runner.report.__main__ as m\ntry: m.main(['--help'])\n"
    code += "except SystemExit as e: print(e.code, 'matplotlib' in sys.modules, 'pandas' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip().endswith("0 False False")
    assert "results/" in found.stdout
