"""The command line refuses what is wrong in one line, before training, and answers at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from runner.config.compose import from_config
from runner.errors import UserError
from tests.damage import FAST, check_went_on, command

WRONG = {
    "optimiser=adamw": "did you mean optimizer?",
    "optimizer=adamx": "adam, adamw, lomo, sgd, sgdw, sparse_adamw",
    "dataset=digit": "did you mean digits?",
    "lr=abc": "lr=abc: must be a number",
    "lr=-1": "lr=-1: must be a positive number",
    "lr=0": "lr=0: must be a positive number",
    "lr=[]": "at least one value",
    "lr=1e-3,1e-2": "add -m",
    "wd=nan": "wd=nan: must be a number from 0",
    "wd=-0.1": "wd=-0.1: must be a number from 0",
    "seed=1.5": "must be a whole number",
    "seed=-1": "must be a whole number",
    "epochs=0": "epochs=0: must be a whole number from 1",
    "epochs=2.5": "epochs=2.5: must be a whole number",
    "epochs=true": "must be a whole number",
    "batch_size=0": "batch_size=0",
    "model.widht=3": "unknown key 'model.widht'",
    "model.width=abc": "model.width=abc: must be a whole number",
    "model.depth=9": "must be 6n+2",
    "+foo=1": "unknown key 'foo'",
    "+model.foo=1": "unknown key 'model.foo'",
    "model=null": "a group needs a choice",
    "foo": "write KEY=VALUE",
    "lr=[1,2": "write KEY=VALUE",
    "grid=nope": "budgets, cifar_16px, claims, decay_params_resnet, decay_params_transformer, digits_resnet",
    "grid=paper": "has no grid.adamw.torch",
    "wd_convention=foo": "torch, paper, normalized",
    "precision=fp8": "fp32, bf16",
    "optimizer.beta1=1": "optimizer.beta1=1.0",
    "schedule.warmup_steps=-1": "schedule.warmup_steps=-1",
    "study=a/b": "study=a/b",
    "target_error=high": "target_error=high",
    "device=gpu": "auto, cpu, cuda",
    "max_minutes=0": "max_minutes=0.0: must be a positive number",
    "dataset.validation=2": "dataset.validation=2",
    "+experiment=nope": "the choices are",
    "dataset=npz dataset.path=/no/such/file.npz": "/no/such/file.npz",
    "dataset=text dataset.path=": "dataset.path",
    "dataset=modular": "use model=transformer",
    "epochs=inf": "epochs=inf: must be a whole number",
    "epochs=10000000": "from 1 to 1000000",
    "lr=${nope}": "nope",
    "schedule.warmup_steps=1000": "must be shorter than the run",
    "optimizer.wd=3": "write wd=NUMBER",
    "experiment=digits": "+experiment=NAME",
    "grid=paper optimizer=adamw": "set wd_convention=paper",
    "weight_decay=0.1": "unknown key 'weight_decay'; did you mean wd?",
    "+weight_decay=0.1": "did you mean wd?",
    "optimizer.weight_decay=0.1": "unknown key 'optimizer.weight_decay'; did you mean wd?",
    "learning-rate=0.1": "did you mean lr?",
    "beta1=0.5": "did you mean optimizer.beta1?",
    "width=4": "did you mean model.width?",
    "--weight-decay=0.1": "a key is written without strokes before it: wd=0.1",
    "--lr 0.1": "a key is written without strokes before it: lr=VALUE",
    "-m eval_every=1,2": "eval_every: cannot be swept",
    "-m optimizer=adam,adamx": "did you mean adam?",
    "-m lr=1e-3,abc": "lr=abc",
}


@pytest.mark.parametrize("typed", WRONG)
def test_wrong_input_gets_one_line_and_leaves_nothing(typed: str, tmp_path: Path) -> None:
    said = command(tmp_path, *typed.split())
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("runner: ")
    assert WRONG[typed] in said.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "most", "word"),
    [
        ("replicates", 1000, "auto"),
        ("devices", 1024, "all"),
        ("stack", 10000, "auto"),
        ("workers", 1024, "auto"),
        ("shards", 10000, "auto"),
    ],
)
@pytest.mark.parametrize("value", ["0", "-0.0", "-1", "100000", "x", "0.5", "true"])
def test_a_number_that_may_be_a_word_is_not_0_for_it(key: str, most: int, word: str, value: str) -> None:
    """`replicates=0` was taken for `auto` without a word, and so were its like."""
    with initialize_config_module("configs", version_base="1.3"):
        with pytest.raises(UserError, match=rf"^{key}=.*: must be a whole number from 1 to {most}, or {word}$"):
            from_config(compose("config", [f"{key}={value}"]))
        assert getattr(from_config(compose("config", [f"{key}={word}"])).run, key) == 0
        assert getattr(from_config(compose("config", [f"{key}=2"])).run, key) == 2


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = command(tmp_path, "device=cuda:99")
    assert said.code == 2
    assert "CUDA devices" in said.err
    assert said.err.count("\n") == 1


def imported(folder: Path, *arguments: str) -> tuple[str, list[str]]:
    """What a command that is typed in this folder says, and which packages that take long to import it has imported."""
    code = (
        "import sys; sys.argv = ['runner', *sys.argv[1:]]\n"
        "from runner.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(*sorted({'torch', 'sklearn', 'scipy.special', 'pandas', 'matplotlib', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True)
    said, _, last = done.stdout.removesuffix("\n").rpartition("\n")
    return said, last.split()


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["lr=abc"]])
def test_what_needs_no_training_imports_nothing_that_takes_long(arguments: list[str], tmp_path: Path) -> None:
    assert imported(tmp_path, *arguments)[1] == []


def test_a_finished_study_is_known_without_what_trains_splits_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    check_went_on(command(tmp_path, *FAST))
    # The first of the two keeps the split, and what the report says where the program is called like this.
    for _ in range(2):
        said, packages = imported(tmp_path, *FAST)
        assert "already done" in said
    assert packages == ["numpy", "pandas"]


def test_help_names_the_groups_and_examples(tmp_path: Path) -> None:
    text = command(tmp_path, "--help").out
    for word in ("optimizer: adam, adamw, lomo, sgd, sgdw, sparse_adamw", "+experiment=digits", "runner.report"):
        assert word in text


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(tmp_path: Path) -> None:
    said = command(tmp_path, "-m", "optimizer=adam,adamw", "lr=1e-3,1e-2", "wd=0,0.1", "dry_run=true")
    assert said.code == 0
    assert "6 trials" in said.out
    assert not (tmp_path / "results").exists()
