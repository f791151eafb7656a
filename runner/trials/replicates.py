"""Replicates: the whole study again with a split of the data and seeds of its own. `of_replicate` has one's trials.

Replicate 0 is the study as it is typed. Replicate r divides the data by `dataset.split` + r, and its seeds are those of
replicate 0 plus r times `SEEDS_APART`. So its trials have ids of their own, and are the same whatever R is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runner.config.settings import Settings
from runner.data.dataset import Dataset
from runner.data.settings import DatasetSettings
from runner.trials.trial import Facts, Trial, expand


def data_of(settings: DatasetSettings, replicate: int) -> DatasetSettings:
    """The settings of the dataset of a replicate: the next split for each."""
    return replace(settings, split=settings.split + replicate)


def of_replicate(settings: Settings, replicate: int, datasets: Mapping[DatasetSettings, Dataset]) -> list[Trial]:
    """The trials that a composed configuration asks for in one replicate.

    Args:
        settings: as composed, with the split of replicate 0.
        replicate: its number, from 0.
        datasets: loaded, by their settings; those of this replicate and of replicate 0 are among them.

    Raises:
        UserError: as `expand` does.
    """
    own = replace(settings, dataset=data_of(settings.dataset, replicate))
    facts = Facts.of(datasets[own.dataset])
    if replicate:
        facts = replace(facts, source=datasets[settings.dataset].hash)
    return expand(own, facts, replicate)
