"""Each arm's winner by the other measure beside its winner by the first: `table(results)`, and `notes(results)`.

`columns(results, arm)` is what generalization.csv says of the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from runner.analysis.measures import number, short
from runner.analysis.second_protocol import SecondProtocol, second_protocol
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report.estimates import bounds, percent, with_interval
from runner.report.table import Table

_DIGITS = {"test_error": 2, "test_loss": 4}
_NONE = Estimate(*4 * (float("nan"),), 0)


def table(results: BlockResults) -> Table | None:
    """Two rows for an arm whose winners differ, one where they are the same; None where nothing was chosen."""
    both = second_protocol(results)
    if both is None:
        return None
    first, second = both.kinds
    rows = []
    for arm in both.first:
        if both.same(arm):
            rows.append(_row(both, both.first, arm, f"{first}, {second}"))
            continue
        chosen = ((both.first, first), (both.second, second))
        rows += [_row(both, by, arm, kind) for by, kind in chosen if by[arm].rows is not None]
    split = "test" if results.block.measure.on_test else "validation"
    difference = f"difference [{percent(results.level)}]"
    header = ["arm", f"chosen by {split}", "cell", "test error (%)", difference, "test loss (nats)", difference, "runs"]
    mark = f" ({results.block.measure.remark})" if results.block.measure.remark else ""
    return Table(f"Chosen by {first} and by {second}{mark}", header, rows, words=(1, 2)) if rows else None


def notes(results: BlockResults) -> list[str]:
    """One sentence whether both ways to choose agree; none where nothing was chosen."""
    both = second_protocol(results)
    if both is None:
        return []
    return [f"{_agreement(both)} This second protocol is exploratory."]


def columns(results: BlockResults, arm: ArmResult) -> dict[str, object]:
    """`second_*`: the arm's winner by the other choice, its mean test error and loss, and differences of both."""
    both = second_protocol(results)
    one = both.second[arm.arm] if both else None
    row: dict[str, object] = {"second_selected_by": both.kind if both else ""}
    row |= {f"second_{name}": getattr(one, name) if one else "" for name in ("lr", "wd", "hyper", "phase", "n")}
    for column in _DIGITS:
        row |= {f"second_{column}": one.values[column].mean if one and one.values else float("nan")}
        value = both.difference(both.second, arm.arm, column) if both else _NONE
        name = f"second_{column}_difference"
        row |= bounds(name, value) | {f"{name}_pairs": value.n}
    return row


def _row(both: SecondProtocol, chosen: Mapping[str, ArmResult], arm: str, kind: str) -> list[str]:
    one = chosen[arm]
    cell = f"lr {short(one.lr)}, wd {short(one.wd)} {one.hyper}".strip()
    line = [arm, kind, f"{cell} (in the mean)" if one.replicates else cell]
    for column, digits in _DIGITS.items():
        line += [
            number(one.values[column].mean, digits),
            with_interval(both.difference(chosen, arm, column), digits, sign=True),
        ]
    search = " (of the search: optimistic)" if one.phase == "search" else ""
    return [*line, f"{one.n}{search}"]


def _agreement(both: SecondProtocol) -> str:
    """Whether the interval of each arm's difference lies on the same side of 0 by both."""
    first, second = both.kinds
    compared = [arm for arm, one in both.first.items() if one.difference is not None]
    what = both.results.block.measure.report_quantity
    if not compared:
        return f"Chosen by {second}: there is no difference between arms to compare with that by {first}."
    sides = {arm: (both.side(both.first, arm), both.side(both.second, arm)) for arm in compared}
    unknown = [arm for arm, pair in sides.items() if None in pair]
    differing = [arm for arm, pair in sides.items() if None not in pair and len(set(pair)) > 1]
    agreeing = [arm for arm in compared if arm not in (*unknown, *differing)]
    parts = []
    if agreeing:
        parts.append(f"both agree on {'; '.join(agreeing)} (the interval lies on the same side of 0, or holds it)")
    if differing:
        parts.append(f"they disagree on {'; '.join(differing)}")
    if unknown:
        also = f"final_seeds=N also_by={second} trains fresh seeds of both winners"
        parts.append(f"nothing can be told of {'; '.join(unknown)} ({also}; an interval needs two)")
    return f"Chosen by {second} instead of {first}, differences in {what}: {', and '.join(parts)}."
