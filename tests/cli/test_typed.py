"""What is typed is what is run, or one line says what would be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.damage import QUICK, check_refused, command

FOLDERS = {
    "study=1.10": "results/1.10",
    "study=1e3": "results/1e3",
    "study=0x10": "results/0x10",
    "study=1_000": "results/1_000",
    "study=007": "results/007",
    "study=true": "results/true",
    "study=nan": "results/nan",
    "++study=1.0": "results/1.0",
    'study="1.10"': "results/1.10",
    'study="null"': "results/null",
    "results=2024.10": "2024.10/s",
    "results=~/x": "home/x/s",
    'results="~/x"': "home/x/s",
}
BASE = [word for word in QUICK if not word.startswith("study")]
WRONG = {
    "study=null": "study='\"null\"'",
    "-m study=choice(1.10,2)": "must be text",
    "optimizer=[adam,adamw]": "-m optimizer=adam,adamw",
    "model=[resnet,transformer]": "takes one choice",
    "-m optimizer=[adam,adamw],sgd": "takes one choice",
    "grid=[point,small]": "takes one choice",
    "+experiment=[digits,claims]": "-m +experiment=digits,claims trains each",
    "optimizer=adam,adamw": "optimizer=adam,adamw: add -m to sweep over the values",
    "lr=nan": "lr=nan: must be a positive number",
    "lr=1e-320": "lr=1e-320: must be from 1.18e-38",
    "-m lr=1e-320,0.1": "lr=1e-320",
    "-m wd=1e300,0.1": "wd=1e+300: must be 0 or from",
    "lr=1e39": "lr=1e+39",
    "lr=1e-30 wd=1e-30": "by their product",
    "lr=1e30 wd=1e30": "by their product",
    "optimizer.eps=1e-300": "optimizer.eps",
    "dataset={label:1.10}": "dataset.label=1.1: must be text",
    "optimizer={name:adam}": "would keep the rest of another optimizer; optimizer=adam chooses it",
    "-m optimizer={name:adam},{name:sgd}": "optimizer=adam,sgd chooses it",
    "optimizer=[{name:adam}]": "-m optimizer=adam trains each",
    "++model.name=transformer": "model=transformer chooses it",
    "grid.name=small": "grid=small chooses it",
    "grid={name:small}": "grid=small chooses it",
    "grid={a:1}": "grid: takes a name",
    "dataset.label=[a]": "dataset.label: must be text, not a list; a word with brackets is quoted",
    "model.norm={a:1}": "model.norm: must be text, not keys and values",
    "model.width=null": "model.width=null: must have a value",
    "schedule=step schedule.drops=0.3": "schedule.drops: must be a list",
    f"seed={'1' * 5000}": "seed: a number of thousands of digits",
    f"dataset.label={'1' * 5000}": "dataset.label: a number of thousands of digits",
    f"results={'x' * 300} dry_run=true": "at most 255 bytes",
}


def home() -> None:
    import os

    os.environ["HOME"] = os.path.join(os.getcwd(), "home")


@pytest.mark.parametrize("typed", FOLDERS)
def test_text_stays_as_it_was_typed(typed: str, tmp_path: Path) -> None:
    rest = [] if "study" in typed else ["study=s"]
    said = command(tmp_path, *BASE, *rest, typed, "dry_run=true", before=home)
    assert said.code == 0, said.text
    assert said.out.startswith(f"{tmp_path}/" * ("~" in typed) + f"{FOLDERS[typed]}: 1 trial"), said.text


def test_swept_text_stays_too(tmp_path: Path) -> None:
    said = command(tmp_path, "-m", *BASE, "study=1.10,1e3,a", "dry_run=true")
    assert [line.partition(":")[0] for line in said.out.splitlines() if "1 trial" in line] == [
        "results/1.10",
        "results/1e3",
        "results/a",
    ]


@pytest.mark.parametrize("typed", WRONG, ids=lambda typed: typed[:40])
def test_what_cannot_be_meant_is_refused_with_what_would_be_right(typed: str, tmp_path: Path) -> None:
    line = check_refused(command(tmp_path, *typed.split()), WRONG[typed])
    assert ("write a list" in line) is False
    assert not list(tmp_path.iterdir())


def test_numbers_in_place_of_text_in_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    file = tmp_path / "my" / "experiment" / "e.yaml"
    for text in ("1.10", "0x10", "1_000", "true"):
        file.write_text(f"# @package _global_\nstudy: {text}\n")
        said = command(tmp_path, "--config-dir", "my", "+experiment=e", "dry_run=true")
        check_refused(said, "study=", "must be text; in a YAML file it is quoted")
    file.write_text("# @package _global_\nstudy: '1.10'\n")
    assert "results/1.10: 1 trial" in command(tmp_path, "--config-dir", "my", "+experiment=e", "dry_run=true").out


def test_a_list_of_choices_in_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /optimizer: [adam, adamw]\n"
    (tmp_path / "my" / "experiment" / "e.yaml").write_text(text)
    for more in ([], ["-m"]):
        said = command(tmp_path, *more, "--config-dir", "my", "+experiment=e", "dry_run=true")
        check_refused(said, "optimizer: takes one choice")


@pytest.mark.parametrize(("name", "said"), [("bomb", "aliases"), ("big", "bytes"), ("deep", "nested too deeply")])
def test_a_configuration_file_without_end_is_refused(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    levels = [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 7)]  # 10^7 values, which fit here
    texts = {
        "bomb": "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n" + "".join(levels),
        "big": "#" * 79 + "\n" * 2**21,
        "deep": f"a: {'[' * 5000}{']' * 5000}\n",
    }
    (tmp_path / "my" / "experiment" / "e.yaml").write_text("# @package _global_\n" + texts[name])
    check_refused(command(tmp_path, "--config-dir", "my", "+experiment=e"), said)
