"""The column `code` tells apart what can change a result, and nothing else."""

from __future__ import annotations

import io
import shutil
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from runner.execution import provenance


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for place in provenance.PLACES:
        here, there = provenance.ROOT / place, tmp_path / place
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(here, there) if here.is_dir() else shutil.copy(here, there)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_a_copy_elsewhere_is_the_same_code(copy: Path) -> None:
    assert provenance.of(copy) == provenance.fingerprint()
    assert len(provenance.fingerprint()) == 10


def test_text_does_not_change_the_code(copy: Path) -> None:
    path = copy / "optim" / "rules.py"
    lines = path.read_text().splitlines()
    assert lines[0].startswith('"""')
    path.write_text(
        '"""Another docstring\n\nof "several" lines # no comment."""\n\n\n# A comment.\n' + path.read_text()
    )
    change(path, lines[0], lines[0].replace('"""', '"""Changed. ', 1)) if lines[0].count('"""') == 2 else None
    (copy / "optim" / "notes.txt").write_text("no code")
    # The old docstring is now a string in the middle of the module, which is code; so take it away.
    again = path.read_text()
    path.write_text(again[: again.index("# A comment.")] + again[again.index("from __future__") :])
    assert provenance.of(copy) == provenance.fingerprint()


@pytest.mark.parametrize(
    "place", ["optim/rules.py", "runner/models/layers.py", "runner/training/step.py", "runner/trials/trial.py"]
)
def test_code_that_can_change_a_result_changes_it(copy: Path, place: str) -> None:
    path = copy / place
    path.write_text(path.read_text() + "\nEXTRA = 1\n")
    assert provenance.of(copy) != provenance.fingerprint()


def test_a_string_that_looks_like_a_comment_counts() -> None:
    assert provenance.bare('x = "# one"  # two\n') == 'x = "# one"'
    assert provenance.bare('def f():\n    """Said."""\n    return "é # x"  # ü\n') == 'def f():\n    return "é # x"'
    assert provenance.bare("if x:\n    y\n") != provenance.bare("if x: y\n")
    assert (
        provenance.bare("a = 'it\\'s # one'  # it's two\nb = r'\\' # no comment'\n")
        == "a = 'it\\'s # one'\nb = r'\\' # no comment'"
    )
    assert (
        provenance.bare('x = f("""a "quote" # here\n# and here""")  # """ not here\n')
        == 'x = f("""a "quote" # here\n# and here""")'
    )


def words(source: str) -> Iterator[str]:
    """Python's own tokens, but layout, comments and strings that nobody takes."""
    before = tokenize.NEWLINE
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        if token.type != tokenize.NEWLINE and not (token.type == tokenize.STRING and before == tokenize.NEWLINE):
            yield token.string
        before = token.type


def test_nothing_of_our_code_but_comments_and_docstrings_is_left_out() -> None:
    for place in provenance.PLACES:
        for path in (provenance.ROOT / place).rglob("*.py"):
            source = path.read_text()
            assert list(words(provenance.bare(source))) == list(words(source)), path


def test_rows_of_other_code_are_named_in_one_line() -> None:
    def frame(*codes: str) -> pd.DataFrame:
        return pd.DataFrame({"code": codes, "version": "0.1.0", "commit": "50c0cb0"})

    own = provenance.fingerprint()
    assert provenance.of_other_code(frame(own, own)) == ""
    said = provenance.of_other_code(frame(own, "", ""))
    assert said.startswith("2 of 3 rows were made by other code (version 0.1.0, commit 50c0cb0, code not on record)")
    assert "\n" not in provenance.of_other_code(frame("a", "b", own))
    assert " and 1 more" in provenance.of_other_code(frame("a", "b", own))
