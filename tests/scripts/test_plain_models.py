"""The plain networks that benchmarks compare with are the runner's networks: same outputs, same training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runner.models.settings import ShakeShakeSettings
from runner.training.stack import Stack
from scripts.parity.plain_models import Shape, load_trial, network
from tests.helpers import MODELS, images, tokens, trial

CPU = torch.device("cpu")
CASES = [("resnet", "images"), ("shakeshake", "images"), ("transformer", "images"), ("transformer", "tokens")]
EPOCHS = 10
SLOT = 1  # of the trial that is compared, a stranger on either side


def pair(model: str, kind: str, dtype: torch.dtype = torch.float32, name: str = "adamw") -> tuple[Stack, nn.Module]:
    """A stack of three trials and, with the weights of the one in SLOT, a plain network."""
    data = images() if kind == "images" else tokens()
    others = [trial(data, model, name, seed=seed, lr=3e-3, epochs=EPOCHS) for seed in range(3)]
    stack = Stack(others, data, CPU, dtype)
    example = data.train.x.shape[1:]
    shape = Shape((example[2], *example[:2]) if kind == "images" else example, data.classes, data.vocabulary)
    plain = network(vars(MODELS[model]), shape).to(dtype)
    load_trial(plain, stack.model.state_dict(), SLOT)
    return stack, plain


def forward(plain: nn.Module, x: Tensor, noise: Tensor | None) -> Tensor:
    return plain(x) if noise is None else plain(x, noise)


def counted(key: str, value: Tensor) -> Tensor:
    """Without the bias of the keys: outputs do not depend on it, and Adam turns its gradient's rounding into steps."""
    if not key.endswith("qkv.bias"):
        return value
    queries, _, values = value.chunk(3)
    return torch.cat([queries, values])


@pytest.mark.parametrize(("model", "kind"), CASES)
def test_outputs_are_those_of_the_trial_in_training_and_in_evaluation(model: str, kind: str) -> None:
    stack, plain = pair(model, kind)
    stack.feed.epoch(0)
    for step, training in enumerate((True, False)):  # after one batch in training running statistics are not trivial
        stack.model.train(training)
        plain.train(training)
        x, _, noise = stack.feed.batch(step)
        if not training:
            noise = None
        with torch.no_grad():
            ours = stack.model(x, noise)[SLOT]
            theirs = forward(plain, x[SLOT], None if noise is None else noise[SLOT])
        assert ours.std() > 1e-3
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5 * float(ours.abs().max()))


@pytest.mark.parametrize("name", ["adamw", "adam"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("model", "kind"), CASES)
def test_thirty_steps_of_torch_end_in_the_same_weights(model: str, kind: str, dtype: torch.dtype, name: str) -> None:
    stack, plain = pair(model, kind, dtype, name)
    first = {key: value.clone() for key, value in plain.state_dict().items()}
    ours = stack.trials[SLOT]
    how = {"lr": ours.lr, "weight_decay": ours.wd}
    optimizer = (torch.optim.AdamW if name == "adamw" else torch.optim.Adam)(plain.parameters(), **how)
    eta = np.concatenate([stack.eta(epoch)[SLOT] for epoch in range(EPOCHS)])
    assert len(eta) == 30
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: float([*eta, 0][step]))
    for epoch in range(EPOCHS):
        stack.run_epoch(epoch)
        for x, y, noise in map(stack.feed.batch, range(stack.per_epoch)):
            logits = forward(plain, x[SLOT], None if noise is None else noise[SLOT])
            optimizer.zero_grad()
            F.cross_entropy(logits, y[SLOT]).backward()
            optimizer.step()
            scheduler.step()
    theirs = plain.state_dict()
    for key, value in stack.model.state_dict().items():
        mine, own, before = counted(key, value[SLOT]), counted(key, theirs[key]), counted(key, first[key])
        # Adam divides by gradients near zero, where float32 keeps few digits; float64 shows that it is only that.
        near = {"rtol": 1e-3, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(own, mine, **near, msg=lambda text, key=key: f"{key}: {text}")
        assert (own - before).abs().max() > 1e-3, key


def test_another_network_is_refused() -> None:
    stack, _ = pair("resnet", "images")
    other = network(vars(ShakeShakeSettings("shakeshake", depth=8, width=4)), Shape((3, 8, 8), 4))
    with pytest.raises(ValueError, match="another network"):
        load_trial(other, stack.model.state_dict())
