"""What was laid down before a study's rows were seen, and what follows for its verdicts: `Protocol`, `protocol_of`.

It stands in study.yaml, where each command has noted its settings. The unit of every comparison is the replicate.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from runner.analysis.sequential import REPLICATES as REPLICATES
from runner.analysis.sequential import confidence_sequence
from runner.analysis.statistics import Estimate, t_half
from runner.config.settings import AXES, RunSettings, TrialSettings
from runner.records.commands import HELD, LAID_DOWN, laid_down, noted

_CONFIGURATION = tuple(f.name for f in fields(TrialSettings))  # all but lr, wd, seed and how it is run
_PLACES = ("cache", "root", "label")  # of a dataset, which is the same wherever it lies


@dataclass(frozen=True)
class Protocol:
    """How a study's comparisons are judged.

    Args:
        replicates: how many were asked for; 0 with `replicates=auto`.
        looks: whether anybody could look before the last replicate and go on. Then differences are judged by
            e-values, else by the t test.
        g: variance of the standardised effect that e-values test for.
        alpha: the chance of a false verdict in a study of which no arm is better, over all its primary comparisons.
        equal_within: percent of the reference's error; a difference that is surely smaller is called equal.
        primary: the id of the claim that the study is for; '' where none was named.
        reference: the arm that the study compares the others with; '' for the usual one.
        comparisons: primary ones, among which `alpha` is split, with looks and without.
        afterwards: what later commands named otherwise, such as 'alpha=0.1', and which does not hold.
        raised: what later commands asked for more of, where arms could be compared: 'cells', 'search seeds',
            'final_seeds', 'refine', 'arms to compare'.
        final_seeds: the fresh seeds that each replicate of an arm gets at least; 0 where that is not known.
        all_fresh: whether every command with several replicates asked for fresh seeds. One that did not, as of one cell
            it need not, is content with the runs of its search.
        unknown: why it is not known what was laid down, in words. Then what is not on record has its default, and
            somebody may have looked.
    """

    replicates: int = 1
    looks: bool = False
    g: float = RunSettings.prior_g
    alpha: float = RunSettings.alpha
    equal_within: float = RunSettings.equal_within
    primary: str = ""
    reference: str = ""
    comparisons: int = 1
    afterwards: tuple[str, ...] = ()
    raised: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    final_seeds: int = 0
    all_fresh: bool = False

    @property
    def level(self) -> float:
        """The coverage of the interval of one difference."""
        return 1 - self.alpha / self.comparisons

    def judged(self, difference: Estimate) -> Estimate:
        """A difference over replicates with the interval that it is judged by, at this level.

        Student's t, or where there are looks the confidence sequence.
        """
        found = replace(difference, level=self.level)
        if difference.n < 2 or not math.isfinite(difference.std):
            return found
        if self.looks:
            half = confidence_sequence(difference.std, difference.n, self.g, 1 - self.level)
        else:
            half = t_half(difference.std, difference.n, self.level)
        return replace(found, low=difference.mean - half, high=difference.mean + half)


ONE = Protocol()  # of a study of one replicate, or one of which nothing is known


def protocol_of(
    folder: Path, comparisons: int = 1, run: RunSettings | None = None, there: float = math.inf
) -> Protocol:
    """The protocol of a study.

    Args:
        folder: of the study. Where its study.yaml is not there or not whole, the plan is not known, and it counts as
            one with looks: replicates may have been added one by one until a verdict was there.
        comparisons: how many are primary.
        run: the settings of a command that is not noted yet, as if it were.
        there: how many replicates have rows.
    """
    settings, flaws = noted(folder)
    found = of_commands([*settings, *([[asdict(run)]] if run else [])], comparisons, there)
    return replace(found, unknown=flaws, looks=True) if flaws else found


def of_commands(
    commands: Sequence[Sequence[Mapping[str, Any]]], comparisons: int = 1, there: float = math.inf
) -> Protocol:
    """The protocol of commands, oldest first, each with the settings of its configurations.

    Of `prior_g`, `alpha`, `equal_within`, `primary` and `reference` the first command that notes them at all decides,
    also where it asks for one replicate: whoever names them later could have seen rows. A number of replicates that was
    raised by a later command was raised by somebody who could have looked, and so was what else makes a result. A
    smaller number, or a raise of which no replicate has rows yet, changes nothing.
    """
    every = [one for settings in commands for one in settings]
    first = {key: getattr(RunSettings, key) for key in LAID_DOWN} | laid_down(commands)
    afterwards = [
        f"{key}={one[key]}" for one in every for key in HELD if one.get(key, first[key]) not in (first[key], "")
    ]
    counts = [int(one.get("replicates", 1)) for one in every]
    most, added = 1, False
    for count in counts:
        if count > most and (most == 1 or there > most):
            most, added = count, added or most > 1
    fresh = [int(one.get("final_seeds", 0)) for one in every if one.get("replicates", 1) != 1]  # 0: of one cell
    raised = _raised([[one for one in settings if one.get("replicates", 1) != 1] for settings in commands])
    return Protocol(
        replicates=0 if 0 in counts else most,
        looks=0 in counts or added or bool(raised),
        g=float(first["prior_g"]),
        alpha=float(first["alpha"]),
        equal_within=float(first["equal_within"]),
        primary=str(first["primary"]),
        reference=str(first["reference"]),
        comparisons=max(1, comparisons),
        afterwards=tuple(dict.fromkeys(afterwards)),
        raised=raised,
        final_seeds=min(filter(None, fresh), default=0),
        all_fresh=bool(fresh) and all(fresh),
    )


def _raised(commands: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[str, ...]:
    """What later commands gave more of to an arm that an earlier one had: a result may change with it.

    So may the question, by a further arm of an optimizer of which two could be compared: by default AdamW is compared
    with Adam + L2, and where that was not there with Adam without decay.
    """
    found: list[str] = []
    known: dict[tuple[str, str], dict[str, set[Any]]] = {}
    for settings in commands:
        asked: dict[tuple[str, str], dict[str, set[Any]]] = {}
        for one in settings:
            try:
                arms = _by_arm(one)
            except (TypeError, ValueError, LookupError, AttributeError):  # edited by hand
                continue
            for arm, more in arms.items():
                of_arm = asked.setdefault(arm, {})
                for name, values in more.items():
                    of_arm[name] = of_arm.get(name, set()) | values
        compared = [optimizer for optimizer, n in Counter(optimizer for optimizer, _ in known).items() if n > 1]
        found += [
            "arms to compare" for optimizer, arm in asked if (optimizer, arm) not in known and optimizer in compared
        ]
        for arm, of_arm in asked.items():
            before = known.get(arm, of_arm)
            found += [name for name, values in of_arm.items() if values - before[name]]
            known[arm] = {name: values | before[name] for name, values in of_arm.items()}
    return tuple(dict.fromkeys(found))


def _by_arm(settings: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, set[Any]]]:
    """What a configuration asks for, by optimizer with its settings and arm: runs with decay, and those without.

    Twins are one optimizer here: their runs without decay are the same.

    An optimizer's other numbers, such as beta2, and a rule for the decay make other cells of the same arm.
    """
    own = {name: settings[name] for name in _CONFIGURATION if name in settings}
    own["dataset"] = {key: value for key, value in dict(own.get("dataset", {})).items() if key not in _PLACES}
    optimizer = dict(own.pop("optimizer", {}))
    decays = {name: optimizer.pop(name) for name in ("name", "decay_params") if name in optimizer}
    rule = [settings.get("wd_rule", "none"), settings.get("wd_rule_constant")]
    hyper = json.dumps([{key: optimizer[key] for key in optimizer if key not in AXES}, rule], sort_keys=True)
    shared = {key: own[key] for key in own if key not in ("wd_convention", "wd_schedule")}
    optimizer_key = json.dumps(shared | {"name": decays.get("name", "").removesuffix("w")}, sort_keys=True)
    keys = (json.dumps(own | decays, sort_keys=True), "no decay")
    positive = [wd for wd in settings["wd"] if wd or rule[0] != "none"]
    runs = {name: set(range(int(settings.get(name, 0)))) for name in ("final_seeds", "refine")}
    return {
        (optimizer_key, key): {
            "cells": set(product(settings["lr"], wds, [hyper])),
            "search seeds": set(settings["seed"]),
            **runs,
        }
        for key, wds in zip(keys, (positive, [wd for wd in settings["wd"] if wd not in positive]), strict=True)
        if wds
    }
