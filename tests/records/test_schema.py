"""The declarations of columns: results/columns.md says what they say, and a new column is two places."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from runner.records.schema import FILES, TABLES, TRIALS

ROOT = Path(__file__).parents[2]


def test_the_dictionary_explains_every_column() -> None:
    """If it does not: python scripts/readme.py."""
    text = (ROOT / "results" / "columns.md").read_text(encoding="utf-8")
    sections = {part.partition("\n")[0]: part for part in text.split("\n## ")[1:]}
    assert list(sections) == list(FILES.values())
    for table, columns in TABLES.items():
        listed = [line.split(" | ") for line in sections[FILES[table]].splitlines() if line.startswith("| `")]
        assert [(row[0], row[-1]) for row in listed] == [(f"| `{c.name}`", f"{c.meaning} |") for c in columns]
        assert all(column.meaning for column in columns)


# The recipe in the docstring of schema.py: the column is declared, and made where rows are.
DECLARED = (
    '    Col("nesterov", whole(0, 1), "whether the momentum looks ahead", setting="optimizer.nesterov", added=True),\n'
)
MADE = '        "nesterov": 1,\n'
USED = """
import sys
from pathlib import Path
from runner.errors import UserError
from runner.records.read import read
from runner.records.records import Records
from runner.trials.described import described
from tests.helpers import images, trial

folder = Path(sys.argv[1])
old = read(folder)
assert old["nesterov"].isna().all(), "an older file has empty cells"
some = trial(images())
Records(folder).append_trials([described(some) | {"phase": "search", "status": "ok"}])
new = read(folder).set_index("trial")
assert len(new) == len(old) + 1
assert new.loc[some.id, "nesterov"] == 1
text = (folder / "trials.csv").read_text()
(folder / "trials.csv").write_text(text.removesuffix(",1\\n") + ",2\\n")
try:
    read(folder)
except UserError as error:
    assert "nesterov is '2', must be a whole number from 0 to 1" in str(error)
else:
    raise AssertionError("an impossible cell")
"""


def test_a_column_is_added_in_two_places(tmp_path: Path) -> None:
    for name in ("optim", "runner", "configs", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    schema, described = tmp_path / "runner/records/schema.py", tmp_path / "runner/trials/described.py"
    for path, before, line in ((schema, '    ),\n    "curves": (\n', DECLARED), (described, "    }\n", MADE)):
        text = path.read_text()
        assert text.count(before) == 1
        path.write_text(text.replace(before, line + before))
    study = tmp_path / "study"
    study.mkdir()
    shutil.copy(ROOT / "tests" / "records" / "older" / "digits" / "trials.csv", study)
    done = subprocess.run([sys.executable, "-c", USED, str(study)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (study / "trials.csv").open(newline="") as file:
        assert next(csv.reader(file)) == [*TRIALS, "nesterov"]
