"""Claims about the one sentence that answers the question of the title."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from runner.analysis.blocks import split
from runner.analysis.results import results
from runner.report.answer import ONE_BY_ONE, answer, answers
from runner.report.setting import setting
from runner.report.terminal import terminal_table
from tests.analysis.test_references import Rows, plain, with_useless
from tests.analysis.test_results import bowl, reported, with_finals
from tests.analysis.test_select import frame
from tests.report.studies import replicated, search


def said(rows: Rows, reference: str = "") -> str:
    blocks = [results(b, reference) for b in split(frame(rows))]
    found = answer(blocks)
    assert "\n" not in found
    assert found.endswith((".", "?"))
    return found


def test_the_answer_is_a_plain_sentence_with_its_numbers() -> None:
    (block,) = split(frame(replicated(with_finals(-0.5, 0.1))))
    value = next(r for r in results(block).arms if r.arm == "AdamW").difference
    assert value is not None
    size = f"{-value.difference.mean:.2f} ± {value.difference.half:.2f}"
    over = "over seeds, on the one split of this data"  # as the made-up rows all have one hash
    better = f"AdamW generalizes better than Adam + L2, {over}: test error lower by {size} points (5 replicates)."
    assert said(replicated(with_finals(-0.5, 0.1))) == better
    assert said(replicated(with_finals(0.5, 0.1))).startswith("AdamW generalizes worse than Adam + L2")
    undecided = f"Undecided whether AdamW generalizes better than Adam + L2, {over}: test"
    assert said(replicated(with_finals(-0.05, 0.5))).startswith(undecided)
    assert said(replicated(with_finals(-0.5, 0.1)), "adamw").startswith("Adam + L2 generalizes worse than AdamW")


def test_the_answer_names_the_population_that_the_replicates_are_draws_of() -> None:
    rows = []
    for row in replicated(with_finals(-0.5, 0.1)):
        settings = json.loads(str(row["settings"]))
        settings["dataset.hash"] = f"{row['replicate']:012d}" if row["replicate"] else settings["dataset.hash"]
        rows.append(row | {"settings": json.dumps(settings)})
    assert "over random splits of these 1,797 images: test error" in said(rows)


FIVE = (0, 1, 2, 3, 4)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (replicated(search(error=bowl, seeds=range(4))), "no fresh seeds (add final_seeds=5)"),
        (with_finals(-0.5, 0.1), "No verdict about optimizers: one replicate (replicates=8). Of these two cells"),
        (with_finals(-0.5, 0.1), "(5 paired fresh seeds)"),
        (
            [row | {"val_size": 0, "val_error": None, "val_loss": None} for row in with_finals(-0.5, 0.1)],
            "selected on test; keep a validation split",
        ),
        (
            replicated(with_finals(-0.5, 0.1, [r for r in search(error=bowl) if float(str(r["lr"])) >= 1e-3])),
            "a best cell is on the edge of its grid",
        ),
        (plain(("adamw", 0.1, 5)), "Only AdamW was run: nothing to compare it with; add optimizer=adam,adamw."),
        (plain(("sgdw", 0.1, 5)), "Only SGDW was run: nothing to compare it with; add optimizer=sgd,sgdw."),
        (plain(("adamw", 0.1, 5), status="failed"), "No trial has a result yet: nothing to compare."),
        (
            plain(("adamw", 0.1, 5)) + plain(("adam", 0.0, 5), status="failed"),
            "Only AdamW has a result: nothing to compare it with; not yet Adam, no decay.",
        ),
        (plain(("adam", 0.0, 5)) + plain(("adamw", 0.1, 5), seeds=(7, 8)), "one replicate (replicates=8)."),
        (
            replicated(plain(("sgd", 0.0, 5), ("sgdw", 0.1, 4), seeds=FIVE)),
            "SGDW generalizes better than SGD, no decay",
        ),
        (plain(("adam", 0.0, 60), ("adamw", 0.1, 30), seeds=FIVE, settings={"dataset": "text"}), "test loss lower by"),
        (plain(("adam", 0.0, 60), ("adamw", 0.1, 30), seeds=FIVE, settings={"dataset": "text"}), "nats"),
        (
            replicated(plain(("adam", 0.0, 5), ("adamw", 0.1, 4), seeds=FIVE))
            + plain(("adamw", 0.1, 5), settings={"model.width": 16}),
            "width 16: only AdamW was run: nothing to compare it with",
        ),
        (
            plain(("adam", 0.0, 5)) + plain(("adamw", 0.1, 5), settings={"model.width": 16}),
            "Nothing to compare: Adam, no decay and AdamW share no setting.",
        ),
    ],
)
def test_the_answer_says_why_there_is_none_and_what_would_help(rows: Rows, words: str) -> None:
    assert words in said(rows)
    assert " ".join(terminal_table(reported(rows)).rpartition("\n\n")[2].split()) == said(rows)


def at_width(width: int, rows: Rows) -> Rows:
    return [
        row | {"trial": f"{row['trial']}-{width}", "settings": f'{str(row["settings"])[:-1]}, "model.width": {width}}}'}
        for row in rows
    ]


BETTER, WORSE, OPEN = (replicated(with_finals(*one)) for one in ((-0.5, 0.1), (0.5, 0.1), (-0.05, 0.5)))


def test_of_several_settings_each_has_a_sentence_that_names_it() -> None:
    """It was 'Better in 1, undecided in 1 settings', and no word on which."""
    blocks = [results(one) for one in split(frame(at_width(16, BETTER) + at_width(32, OPEN) + at_width(64, WORSE)))]
    first, second, third, last = answers(blocks)
    assert first.startswith("width 16: AdamW generalizes better than Adam + L2: test error lower by 0.")
    assert second.startswith("width 32: undecided whether AdamW generalizes better than Adam + L2: test error ")
    assert third.startswith("width 64: AdamW generalizes worse than Adam + L2: test error higher by 0.")
    # What all have in common is said once, and it is what the sentence on one setting says.
    assert last == "Each over seeds, on the one split of this data (5 replicates)."
    assert "over seeds, on the one split of this data: " in answer(blocks[:1])
    assert terminal_table(blocks).endswith(f"\n{last}")


def test_the_networks_of_a_study_are_called_by_their_names() -> None:
    rows = BETTER + [
        row | {"trial": f"{row['trial']}-t", "model": "transformer"} | {"settings": _transformer(row)} for row in OPEN
    ]
    assert [one.partition(":")[0] for one in answers([results(one) for one in split(frame(rows))])[:2]] == [
        "ResNet",
        "Transformer",
    ]
    assert setting("model.width=8 | schedule=cosine") == "width 8, cosine"
    assert setting("dataset.train_size=5") == "train size 5"
    assert setting("") == ""


def _transformer(row: Mapping[str, object]) -> str:
    return str(row["settings"]).replace('"resnet"', '"transformer"')


def test_where_settings_differ_in_their_replicates_each_says_its_own() -> None:
    fewer = [row for row in WORSE if int(str(row["replicate"])) < 4]
    lines = answers([results(one) for one in split(frame(at_width(16, BETTER) + at_width(32, fewer)))])
    assert len(lines) == 2
    assert lines[0].endswith("(5 replicates).")
    assert lines[1].endswith("(4 replicates).")


def test_more_settings_than_can_be_read_one_by_one_are_counted_and_those_that_are_decided_named() -> None:
    rows = [row for k in range(ONE_BY_ONE - 1) for row in at_width(8 + k, OPEN)]
    rows += at_width(32, BETTER) + at_width(64, WORSE) + at_width(128, BETTER)
    question = "Does AdamW generalize better than Adam + L2?"
    assert (
        said(rows) == f"{question} Better in 2 (width 32; width 128), worse in 1 (width 64), undecided in 5 settings."
    )


def test_each_of_several_settings_says_what_its_arm_is_compared_with() -> None:
    found = said(replicated(with_useless(-0.5)) + at_width(16, BETTER))
    assert "AdamW generalizes better than Adam, no decay (no Adam + L2 is better): " in found
    assert "width 16: AdamW generalizes better than Adam + L2: " in found
    many = replicated(with_useless(-0.5)) + [row for k in range(ONE_BY_ONE) for row in at_width(16 + k, BETTER)]
    question = "Does AdamW generalize better than the better of Adam + L2 and Adam, no decay? Better in 7 ("
    assert said(many).startswith(question)


def test_a_difference_without_a_number_is_neither_lower_nor_higher() -> None:
    """The sentence said 'test loss higher by – nats'."""
    rows = replicated(with_finals(-0.5, 0.1, search(error=bowl, settings={"dataset": "text"})))
    text = [row | {"settings": json.dumps(json.loads(str(row["settings"])) | {"dataset": "text"})} for row in rows]
    last = next(k for k, row in enumerate(text) if row["phase"] == "final" and row["optimizer"] == "adamw")
    text[last] |= {"status": "diverged", "test_loss": float("nan"), "val_loss": float("nan")}
    assert ": no difference in test loss is known, but a run has no number." in said(text)


def test_with_one_weight_decay_it_says_that_no_other_was_tried() -> None:
    rows = [row for row in replicated(with_finals(-0.5, 0.1)) if row["wd"] in (1e-3, 0.1)]
    rows = [row for row in rows if (row["optimizer"], row["wd"]) in (("adam", 1e-3), ("adamw", 0.1))]
    assert said(rows).startswith(
        "With the one weight decay of Adam + L2 and of AdamW that was tried, AdamW generalizes better than Adam + L2"
    )
