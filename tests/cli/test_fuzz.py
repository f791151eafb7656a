"""Whatever is typed for a setting: it is what is trained with, or one line refuses it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

import pytest
from hydra import compose, initialize_config_module
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from runner.config.compose import from_config
from runner.config.messages import one_line, printable
from runner.config.settings import AXES, GROUPS, RunSettings, Settings
from runner.errors import UserError
from runner.trials.trial import Facts, expand

RUN_KEYS = [f.name for f in fields(RunSettings)]
KEYS = [f.name for f in fields(Settings) if f.name not in (*GROUPS, "run")] + RUN_KEYS
INNER = [
    (group, name, f.name)
    for group, registry in GROUPS.items()
    for name, kind in registry.items()
    for f in fields(kind)
    if f.name != "name"
]
NUMBERS = st.one_of(
    st.integers(-3, 5),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, 1e-320, 1e308, -0.0, 0.5, 1e-3, 2.0**63]),
)
WORDS = st.one_of(
    st.sampled_from(
        [
            "",
            "null",
            "true",
            "false",
            "auto",
            "all",
            "nan",
            "inf",
            "-inf",
            "fp32",
            "cpu",
            "~",
            "{}",
            "[]",
            "a/b",
            "../x",
        ]
    ),
    st.text(max_size=12),
)
VALUES = st.one_of(
    NUMBERS.map(repr),
    WORDS,
    st.lists(NUMBERS, max_size=3).map(lambda some: "[" + ",".join(map(repr, some)) + "]"),
    st.lists(WORDS, max_size=2).map(lambda some: "[" + ",".join(some) + "]"),
)
FACTS = Facts("digits", "0", 10, 400, 499, 898, 64)


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    with initialize_config_module("configs", version_base="1.3"):
        yield


def outcome(*overrides: str) -> Settings | str:
    """What the command line would make of it: settings, or its one line."""
    try:
        found = from_config(compose("config", list(overrides)))
        trials = expand(found, FACTS)
        assert trials
        assert len({t.id for t in trials}) <= len(found.lr) * len(found.wd) * len(found.seed)
        return found
    except UserError as error:
        return printable(str(error))
    except OmegaConfBaseException as error:
        return printable(one_line(error))
    except AssertionError:
        raise
    except Exception as error:  # as in runner.__main__, where a job has not begun yet
        if not type(error).__module__.startswith(("hydra", "antlr4", "omegaconf")):
            raise
        return printable(one_line(error))


def typed(text: str) -> object:
    """The value that YAML reads, as Hydra does for plain ones."""
    return OmegaConf.select(OmegaConf.from_dotlist([f"x={text}"]), "x")


def quick(examples: int) -> settings:
    return settings(max_examples=examples, suppress_health_check=list(HealthCheck))


@pytest.mark.campaign
@quick(120)
@given(key=st.sampled_from(KEYS), value=VALUES)
def test_a_key_takes_what_is_typed_or_refuses_it_in_one_line(key: str, value: str) -> None:
    found = outcome(f"{key}={value}")
    if isinstance(found, str):
        assert found.strip()
        assert len(found.splitlines()) == 1
        return
    got = getattr(found.run if key in RUN_KEYS else found, key)
    if key in AXES:
        assert all(math.isfinite(v) and v >= 0 for v in got)
        if isinstance(typed(value), int | float) and not isinstance(typed(value), bool):
            assert got == (typed(value),)
    elif isinstance(got, float):
        assert math.isfinite(got)
        assert got == typed(value)
    elif isinstance(got, int) and not isinstance(got, bool) and isinstance(typed(value), int | float):
        assert got == typed(value)


@pytest.mark.campaign
@quick(100)
@given(place=st.sampled_from(INNER), value=VALUES)
def test_a_groups_key_takes_what_is_typed_or_refuses_it_in_one_line(place: tuple[str, str, str], value: str) -> None:
    group, name, key = place
    found = outcome(f"{group}={name}", f"{group}.{key}={value}")
    if isinstance(found, str):
        assert found.strip()
        assert len(found.splitlines()) == 1
        return
    got = getattr(getattr(found, group), key)
    if isinstance(got, int | float) and not isinstance(got, bool):
        assert math.isfinite(got)
        assert got == typed(value)


@quick(30)
@given(text=st.text(max_size=20))
def test_any_word_is_understood_or_refused_in_one_line(text: str) -> None:
    found = outcome(text)
    assert isinstance(found, Settings) or (found.strip() and len(found.splitlines()) == 1)
