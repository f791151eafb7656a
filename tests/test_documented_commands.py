"""Every command in every README does what it says: it is run here, or NOT_RUN says why it is not.

Training commands are run with `dry_run=true`, which composes, checks, reads the data and plans; those on data that
would be downloaded are composed. Benchmarks and other scripts must know every option that a page gives them.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.damage import command

ROOT = Path(__file__).resolve().parents[1]
NOT_RUN = {
    "scripts/run": "tests/scripts/test_run.py and tests/scripts/test_venv.py run it",
    "scripts/test": "it runs these tests",
    "scripts/test_wheel": "CI runs it",
    "scripts/test_machines": "it runs these tests as other processors would",
    "scripts/gpu.sh": "tests/scripts/test_gpu.py runs it, without a GPU",
    "scripts/slurm/cluster.sh": "tests/execution/cluster/test_slurm.py runs it",
    "python -m runner.folklore": "tests/folklore runs it",
    "source": "a shell's own",
    "pip": "it installs",
    "squeue": "Slurm's own",
    "pytest": "it runs these tests",
}
DOWNLOADED = ("cifar10", "cifar100", "imagenet32", "paper/")
LONG = ("replicates=60",)  # ten times a study that is planned here too: its plan takes half a minute
UNQUOTED = re.compile(r"[][*?{}<>]")  # what zsh or bash would take for a pattern or a redirection


def pages() -> list[Path]:
    """What people read, without the reports that a command writes."""
    folders = (ROOT / name for name in ("runner", "optim", "results", "scripts", "tests"))
    return [ROOT / "README.md", *sorted(path for folder in folders for path in folder.rglob("README.md"))]


def lines_of_code(text: str) -> Iterator[str]:
    """Lines of fenced shell blocks, continued ones joined, and spans within a sentence."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    bare = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from re.sub(r" *\\\n *", " ", block).splitlines()
    yield from (" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", bare))


def is_command(line: str) -> bool:
    """Whether a line of code is one for a shell, and more than the name of a program."""
    first, _, rest = line.partition(" ")
    if first in ("python", "pip", "source", "squeue", "pytest", "runner"):
        return bool(rest.strip(" .")) or first == "squeue"
    return line.startswith(("scripts/", "+experiment=")) and bool(rest)


def documented() -> list[tuple[str, str]]:
    """(page, command), each command once for a page."""
    found = {
        (str(page.relative_to(ROOT)), line.strip())
        for page in pages()
        for line in lines_of_code(page.read_text(encoding="utf-8"))
        if is_command(line.strip())
    }
    return sorted(found)


COMMANDS = documented()


def words_of(line: str) -> list[str]:
    """A command as a shell would split it; what begins with a key is one of the runner's."""
    words = shlex.split(line, comments=True)
    return ["python", "-m", "runner", *words] if words[0].startswith("+") else words


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_needs_no_quotes_that_it_does_not_have(page: str, line: str) -> None:
    bare = re.sub(r"'[^']*'|\"[^\"]*\"|#.*", "", line)
    assert not UNQUOTED.search(bare)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, two: Path) -> Path:
    """A folder with the data and the study that the pages name."""
    folder = tmp_path_factory.mktemp("documented")
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)
    parts = {"x_train": images[:100], "x_val": images[100:150], "x_test": images[150:]}
    answers = {name.replace("x_", "y_"): np.arange(len(part)) % 2 for name, part in parts.items()}
    for name in ("FILE.npz", "cifar_16px.npz"):
        np.savez(folder / name, **parts, **answers)
    for name in ("FILE.txt", "tinyshakespeare.txt"):
        (folder / name).write_bytes(draw.integers(97, 120, 200_000, dtype=np.uint8).tobytes())
    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            (folder / "FOLDER" / part / name).mkdir(parents=True)
            for n in range(8):
                PIL.Image.fromarray(images[n]).save(folder / "FOLDER" / part / name / f"{part}{name}{n}.png")
    text = (ROOT / "runner" / "README.md").read_text()
    for name in ("nets.py", "data.py"):
        code = re.search(rf"`{name}`.*?```python\n(.*?)```", text, re.DOTALL)
        assert code
        (folder / name).write_text(code[1])
    (folder / "results").mkdir()
    for name in ("digits", "STUDY"):
        (folder / "results" / name).symlink_to(two / "results" / "s")
    return folder


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_fenced_so_that_it_is_found_here(page: Path) -> None:
    bare = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"\n\n    [a-z].*", bare) == []


@pytest.mark.parametrize("page", ["README.md", "results/README.md", "runner/README.md"])
def test_examples_in_python_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    text = (ROOT / page).read_text(encoding="utf-8")
    for example in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(example, {})
    assert "nan" not in capsys.readouterr().out


TRAINING = [entry for entry in COMMANDS if words_of(entry[1])[:3] == ["python", "-m", "runner"]]
# What stands on several pages, with remarks or without, is run once.
ONCE = list({tuple(words_of(line)): (page, line) for page, line in TRAINING}.values())


@pytest.mark.parametrize(("page", "line"), ONCE)
def test_a_training_command_is_understood(page: str, line: str, place: Path) -> None:
    words = words_of(line)[3:]
    if any(name in word for word in words for name in (*DOWNLOADED, *LONG)):
        # The first of a sweep's values: what is composed without -m is one trial.
        words = [word.partition(",")[0] for word in words if not word.startswith(("+cluster", "hydra.launcher", "-m"))]
        words += ["--cfg", "job"]
    elif not any(word.startswith("-") and word != "-m" for word in words):
        words += ["dry_run=true"]
    said = command(place, *words)
    assert said.code == 0, said.text
    assert "Traceback" not in said.text


REPORTS = [entry for entry in COMMANDS if words_of(entry[1])[:3] == ["python", "-m", "runner.report"]]


@pytest.mark.parametrize(("page", "line"), REPORTS)
def test_a_report_is_made(page: str, line: str, place: Path) -> None:
    assert command(place, *words_of(line)[3:], module="runner.report").code == 0


def test_a_row_is_trained_again(place: Path) -> None:
    (words,) = [words_of(line) for _, line in COMMANDS if "runner.rerun results/" in line and "TRIAL" in line][:1]
    study = place / "results" / "digits"
    first = (study / "trials.csv").read_text().splitlines()[1].split(",")[1]
    words = [sys.executable, *[first if word == "TRIAL" else word for word in words[1:]]]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def is_script(line: str) -> bool:
    words = words_of(line)
    return words[0] == "python" and words[1].startswith("scripts/")


SCRIPTS = [entry for entry in COMMANDS if is_script(entry[1])]


@cache
def help_of(*words: str) -> str:
    done = subprocess.run([sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.campaign
@pytest.mark.parametrize(("page", "line"), SCRIPTS)
def test_a_script_knows_the_options_that_a_page_gives_it(page: str, line: str) -> None:
    words = words_of(line)[1:]
    name = words[:2] if words[0] in ("scripts/bench", "scripts/parity") else words[:1]
    text = help_of(*name)
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in text] == []


def test_what_is_not_run_says_why() -> None:
    run = {*TRAINING, *REPORTS, *SCRIPTS}
    rest = {entry for entry in COMMANDS if entry not in run and "runner.rerun" not in entry[1]}
    assert {entry for entry in rest if not any(entry[1].startswith(name) for name in NOT_RUN)} == set()
