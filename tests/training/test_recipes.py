"""Recipes that practitioners pass on, each against its formula: rules for wd, decay over time, a multiplied loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from optim.rules import DECAY, L2, STEP, Rule, coefficients
from runner.config.compose import from_config
from runner.config.settings import Settings
from runner.errors import UserError
from runner.training.stack import Stack
from runner.trials.trial import Facts, expand
from tests.helpers import images, trial

STEPS = np.arange(1, 41)
ETA = 0.5 + 0.5 * np.cos(np.pi * (STEPS - 1) / 40)


def composed(*overrides: str) -> Settings:
    with initialize_config_module("configs", version_base="1.3"):
        return from_config(compose("config", list(overrides)))


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("follow_lr", ETA),
        ("constant", np.ones(40)),
        ("beta2_ramp", ETA * np.sqrt(1 - 0.99**STEPS)),
    ],
)
def test_decay_over_time_is_its_formula_and_leaves_the_step_alone(schedule: str, expected: np.ndarray) -> None:
    rule = Rule("adamw", 0.01, 0.1, "torch", beta2=0.99, wd_schedule=schedule)
    rows = coefficients(rule, STEPS, ETA, np.full(40, 100.0))
    np.testing.assert_allclose(rows[:, 0, DECAY], 0.01 * 0.1 * expected, rtol=1e-14)
    plain = coefficients(replace(rule, wd_schedule="follow_lr"), STEPS, ETA, np.full(40, 100.0))
    np.testing.assert_array_equal(rows[:, 0, STEP], plain[:, 0, STEP])


def test_l2_has_no_schedule_of_its_own() -> None:
    rows = coefficients(Rule("adam", 0.01, 0.1, wd_schedule="constant"), STEPS, ETA, np.full(40, 100.0))
    assert (rows[:, 0, L2] == 0.1).all()
    some = images()
    assert len({trial(some, name="adam", wd_schedule=name).settings_json for name in ("constant", "follow_lr")}) == 2
    settings = composed("optimizer=adam", "wd=0.1", "wd_schedule=constant")
    assert [t.wd_schedule for t in expand(settings, Facts.of(some))] == ["follow_lr"]
    undecayed = composed("optimizer=adamw", "wd=0", "wd_schedule=beta2_ramp")
    assert [t.wd_schedule for t in expand(undecayed, Facts.of(some))] == ["follow_lr"]


def test_the_rules_of_thumb_for_wd_are_their_formulas() -> None:
    facts = Facts.of(images())
    product = expand(composed("wd_rule=product", "lr=[1e-3,1e-2]"), facts)
    assert [(t.lr, t.wd) for t in product] == [(1e-3, pytest.approx(0.1)), (1e-2, pytest.approx(0.01))]
    assert [t.wd for t in expand(composed("wd_rule=batch", "batch_size=20"), facts)] == [pytest.approx(0.005)]
    other = expand(composed("wd_rule=product", "wd_rule_constant=3e-4", "lr=1e-3"), facts)
    assert [t.wd for t in other] == [pytest.approx(0.3)]


def test_a_rule_gives_the_same_trial_as_the_number_it_stands_for() -> None:
    facts = Facts.of(images())
    (ruled,) = expand(composed("wd_rule=batch", "batch_size=32"), facts)
    (typed,) = expand(composed(f"wd={0.1 / 32!r}", "batch_size=32"), facts)
    assert ruled.id == typed.id


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (("wd_rule=half",), "wd_rule=half: must be one of none, product, batch"),
        (("wd_rule=product", "wd=0.1"), "wd and wd_rule=product are both set"),
        (("wd_rule=product", "optimizer=adam"), "torch's convention, not l2"),
        (("wd_rule=batch", "wd_convention=paper"), "torch's convention, not paper"),
        (("wd_rule=product", "wd_rule_constant=-1"), "wd_rule_constant=-1.0: must be a number from 0"),
        (("wd_rule=product", "wd_rule_constant=1e300", "lr=1e-300"), "the decay would not be a finite number"),
        (("wd_rule_constant=1e-4",), "wd_rule_constant=0.0001: is for wd_rule=product or batch"),
        (("lookahead.alpha=0.3",), "lookahead.alpha=0.3: is for lookahead.k=N"),
        (("optimizer=lomo", "diagnostics=true"), "diagnostics=true: cannot follow optimizer=lomo"),
        (("optimizer=sparse_adamw", "optimizer.eps=0"), "sparse_adamw needs eps and beta2 above 0"),
        (("optimizer=sparse_adamw", "optimizer.beta1=0.99", "optimizer.beta2=0.9"), "below the square root of beta2"),
        (("wd_schedule=linear",), "wd_schedule=linear: must be one of follow_lr, constant, beta2_ramp"),
        (("wd_schedule=beta2_ramp", "optimizer=sgdw"), "sgdw has no beta2"),
        (("loss_multiplier=0",), "loss_multiplier=0.0: must be a positive number"),
    ],
)
def test_impossible_recipes_are_refused_in_one_line(typed: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError) as refused:
        composed(*typed)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_multiplied_loss_multiplies_sgds_rate_and_nothing_else() -> None:
    """Four times the loss at a quarter of the rate is the same run, to the bit, for 4 is a power of two."""
    some = images()
    plain = trial(some, name="sgd", wd=0.0, lr=0.04)
    stack = Stack([plain, replace(plain, lr=0.01, loss_multiplier=4.0)], some, torch.device("cpu"), dtype=torch.float64)
    progress = stack.run_epoch(0)
    assert all(torch.equal(p[0], p[1]) for p in stack.parameters)
    assert progress.running_loss[0] == progress.running_loss[1]  # what is recorded is not multiplied


def test_adamw_does_not_notice_a_multiplied_loss_and_adam_with_l2_does() -> None:
    some = images()
    moved = {}
    for name in ("adamw", "adam"):
        plain = trial(some, name=name, wd=0.1)
        plain = replace(plain, optimizer=replace(plain.optimizer, eps=0.0))
        stack = Stack([plain, replace(plain, loss_multiplier=1024.0)], some, torch.device("cpu"), dtype=torch.float64)
        stack.run_epoch(0)
        moved[name] = max(float((p[0] - p[1]).detach().abs().max()) for p in stack.parameters)
    assert moved["adamw"] < 1e-12
    assert moved["adam"] > 1e-3


@pytest.mark.parametrize("preset", ["adamw_3e-4", "bert_finetuning"])
def test_presets_are_their_numbers(preset: str) -> None:
    settings = composed(f"+preset={preset}")
    assert settings.lr == ({"adamw_3e-4": 3e-4, "bert_finetuning": 5e-5}[preset],)
    assert settings.wd == (0.01,)
    assert settings.optimizer.name == "adamw"
