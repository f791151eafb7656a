"""A study's arms compared: `generalization(blocks)` for CSV, `tables(results)` and `markdown(blocks)` for readers.

`blocks` are the `results(block)` of each block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from runner.analysis.measures import NOTHING, SIDES, number, short, telling
from runner.analysis.primary import is_exploratory
from runner.analysis.results import MEASURED
from runner.analysis.statistics import Estimate
from runner.analysis.study_results import ArmResult, BlockResults
from runner.report import rules, second_measures, second_protocol, tuning
from runner.report.estimates import bounds, percent, with_interval
from runner.report.notes import heads, notes
from runner.report.table import Table

_EMPTY = Estimate(math.nan, math.nan, math.nan, math.nan, 0)


def generalization(blocks: Sequence[BlockResults]) -> pd.DataFrame:
    """One row per block and arm, everything that the other two forms show; empty = not measured or not defined.

    Errors in percent, losses in nats. `<name>_low` and `<name>_high` bound the 95 % t interval of `<name>`, the
    mean over `n` runs; `sampling_*` the Wilson interval of the test error from the size of the test set;
    `edge` is that of the cell that is best in the mean over all replicates, and `edge_replicates` counts those of which
    their own best cell is on the edge of their grid;
    `difference` is the arm minus `reference`, paired over `pairs` replicates, or seeds where `replicates` is 1;
    `detectable` the smallest difference that so many find with 80 % power. `<name>_difference` is that of a second
    measure, `second_*` are of the winner by the other choice (`runner.report.second_protocol`). What bounds a
    difference, also of these, covers `difference_level` percent: it is a confidence sequence where replicates were
    added while others could be seen, infinite while there are too few for one, and else a t interval.
    """
    return pd.DataFrame([_row(results, result) for results in blocks for result in results.arms])


def _row(results: BlockResults, result: ArmResult) -> dict[str, object]:
    block = results.block
    row: dict[str, object] = {"block": block.id, "block_label": block.label}
    row |= {name: block.settings[name] for name in ("model", "dataset", "epochs", "schedule")}
    row |= _fields(result, "arm optimizer trials cells complete_cells")
    row |= {"selected_by": block.measure.select}
    row |= _fields(result, "lr wd wd_convention hyper edge not_searched phase n")
    row |= {"seeds": " ".join(str(seed) for seed in result.seeds)}
    known = result.measured(block.measure.report)
    row |= {"n": 0 if known is None else len(known)}  # that have the number which the comparison is of
    row |= {"replicates": max(1, known["replicate"].nunique() if known is not None else 0)}
    row |= {"winners": _winners(results, result.arm), "edge_replicates": len(results.edges(result.arm))}
    for name in MEASURED:
        row |= bounds(name, result.values.get(name, _EMPTY))
    row |= {"epochs_to_target_n": result.values.get("epochs_to_target", _EMPTY).n}
    row |= {"test_size": block.test_size, "sampling_low": result.sampling[0], "sampling_high": result.sampling[1]}
    pairs = result.difference
    difference = pairs.difference if pairs else _EMPTY
    row |= {"reference": result.reference if pairs else "", "difference_of": block.measure.report if pairs else ""}
    row |= bounds("difference", difference) | {"pairs": difference.n}
    row |= {"difference_level": 100 * difference.level if pairs else math.nan}
    row |= _fields(result, "detectable verdict search_diverged search_failed diverged failed")
    row |= {"remark": "; ".join(x for x in (block.measure.remark, result.remark) if x)}
    return row | second_measures.columns(results, result) | second_protocol.columns(results, result)


def _fields(result: ArmResult, names: str) -> dict[str, object]:
    return {name: getattr(result, name) for name in names.split()}


def _spread(value: Estimate, digits: int) -> str:
    """'2.05 ± 0.31 [1.67, 2.43]': mean, std and interval; only the mean for n = 1."""
    if not math.isfinite(value.std):
        return number(value.mean, digits)
    interval = f"[{number(value.low, digits)}, {number(value.high, digits)}]"
    return f"{number(value.mean, digits)} ± {number(value.std, digits)} {interval}"


def _decay(result: ArmResult) -> str:
    """The best wd with its unit: '0.05 (torch)'."""
    unit = result.wd_convention.replace("l2", "L2")
    return f"{short(result.wd)} ({unit})" if unit and result.wd == result.wd else short(result.wd)


def _winners(results: BlockResults, arm: str) -> str:
    """'lr 0.02 wd 0.01: 5; lr 0.04 wd 0.01: 3': in how many replicates each cell won."""
    return "; ".join(f"lr {short(lr)} wd {short(wd)}: {n}" for (lr, wd), n in sorted(results.won(arm).items()))


def _range(results: BlockResults, arm: str, axis: int) -> str:
    """' [0.01 to 0.04]': where the winners of the replicates lie on an axis, 0 lr and 1 wd; '' where they agree."""
    values = {cell[axis] for cell in results.won(arm)}
    return f" [{short(min(values))} to {short(max(values))}]" if len(values) > 1 else ""


def _edge(results: BlockResults, result: ArmResult) -> str:
    """'yes: lr largest', 'no; in 3 of 6 replicates'."""
    if not result.phase:
        return NOTHING
    count = len(results.edges(result.arm)) if results.parts else 0
    own = f"in {count} of {result.units} replicates" if count else ""
    fixed = f"{' and '.join(result.not_searched.split())} not searched" if result.not_searched else ""
    return "; ".join(x for x in (f"yes: {result.edge}" if result.edge else "" if fixed else "no", fixed, own) if x)


def _difference(result: ArmResult, digits: int) -> str:
    if result.difference is None:
        return NOTHING
    value = result.difference.difference
    if result.verdict in SIDES:
        digits = telling(value.mean, digits)
    return f"{with_interval(value, digits, sign=True)} (n = {value.n})"


def _target(result: ArmResult) -> str:
    value = result.values.get("epochs_to_target")
    return f"{number(value.mean, 1)} ({value.n} of {result.units})" if value and value.n else NOTHING


def tables(results: BlockResults) -> list[Table]:
    """What each arm's best cell reached, the details of its search, and further ones; the page has the same."""
    return [_best(results), _details(results), *further(results)]


def further(results: BlockResults) -> list[Table]:
    """The tables behind the first two; one that has nothing to say is None and left out."""
    found = (part.table(results) for part in (tuning, second_measures, second_protocol, rules))
    return [table for table in found if table is not None]


def remarks(results: BlockResults) -> list[str]:
    """The sentences below the tables."""
    return [*notes(results), *second_measures.notes(results), *second_protocol.notes(results), *rules.notes(results)]


def markdown(blocks: Sequence[BlockResults], plots: Sequence[tuple[str, str]] = ()) -> str:
    """The whole file: per block the results, the details and the notes; then the plots as (path, caption)."""
    parts = ["# Generalization"]
    for results in blocks:
        parts += [f"## {results.block.marked_title}", _best(results).markdown(), _details(results).markdown()]
        parts += [text for table in further(results) for text in (f"{table.caption}:", table.markdown())]
        parts += ["Notes", "\n".join(f"- {line}" for line in remarks(results))]
    if plots:
        parts += ["## Plots", *(f"{caption}\n\n![{caption}]({path})" for path, caption in plots)]
    return "\n\n".join(parts) + "\n"


def _best(results: BlockResults) -> Table:
    measure = results.block.measure
    digits, mark = measure.digits, f" ({measure.remark})" if measure.remark else ""
    what = measure.report_name.replace("test ", "")
    header = ["arm", "verdict", f"test {what}, mean ± std [95 %]{mark}"]
    header += [
        f"{heads(results)[0]} [{percent(results.level)}]",
        "best lr",
        "best wd",
        "on the edge",
        "reported",
        "seeds",
        f"validation {what}",
    ]
    select = measure.report.replace("test", "val")
    rows = [
        [
            result.arm,
            (f"{result.verdict} (exploratory)" if is_exploratory(result, results) else result.verdict) or NOTHING,
            _spread(result.values[measure.report], digits) if result.values else NOTHING,
            _difference(result, digits),
            short(result.lr) + _range(results, result.arm, 0),
            _decay(result) + (f" {result.hyper}" if result.hyper else "") + _range(results, result.arm, 1),
            _edge(results, result),
            result.phase or result.remark,
            f"n = {result.counted(measure.report)}{' replicates' if result.replicates else ''}",
            number(result.values[select].mean, digits) if result.values else NOTHING,
        ]
        for result in results.arms
    ]
    return Table(f"Each arm's best cell{mark}", header, rows, words=(1,), key=(1, 2))


def _details(results: BlockResults) -> Table:
    remark = results.block.measure.remark
    header = ["arm", "trials searched", "cells", "training loss", "gap in loss", "gap in error (points)"]
    header += ["epochs to target", "diverged (search; reported)", "failed (search; reported)"]
    rows = []
    for result in results.arms:
        mean = {name: result.values.get(name, _EMPTY).mean for name in MEASURED}
        rows.append(
            [
                result.arm,
                f"n = {result.trials}",
                str(result.cells),
                short(mean["train_loss"], 3),
                short(mean["gap_loss"], 3),
                number(mean["gap_error"]),
                _target(result),
                f"{result.search_diverged} of {result.trials}; {result.diverged} of {result.n}",
                f"{result.search_failed} of {result.trials}; {result.failed} of {result.n + result.failed}",
            ]
        )
    return Table("Searches, losses, gaps" + (f" ({remark})" if remark else ""), header, rows)
