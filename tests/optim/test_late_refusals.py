"""What becomes wrong between steps is refused in one line that names it, in all groups before anything has moved."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import optim
from tests.optim.citizens import same
from tests.optim.infos import ahead

Make = Callable[[Any], Any]
ALL: dict[str, Make] = {
    "Adam": lambda p: optim.Adam(p, 1e-2),
    "AdamW": lambda p: optim.AdamW(p, 1e-2),
    "SGD": lambda p: optim.SGD(p, 1e-2, 0.9),
    "SGD plain": lambda p: optim.SGD(p, 1e-2),
    "SGDW": lambda p: optim.SGDW(p, 1e-2, 0.9),
    "SparseAdamW": lambda p: optim.SparseAdamW(p, 1e-2),
    "LOMO": lambda p: optim.LOMO(p, 1e-2),
    "Lookahead": lambda p: ahead(p, lr=1e-2),
}
MOMENTS = [name for name in ALL if name not in ("SGD plain", "LOMO")]
BETAS = ["Adam", "AdamW", "SparseAdamW", "Lookahead"]
DENSE = [name for name in ALL if name not in ("LOMO", "SparseAdamW")]
every = pytest.mark.parametrize("name", ALL)


def stepped(name: str, steps: int = 2) -> tuple[list[Tensor], Any]:
    """Tensors of two groups, after some steps and with gradients for the next."""
    p = [torch.ones(s, requires_grad=True) for s in [(4, 3), (5, 2), (7,)]]
    optimizer = ALL[name]([{"params": p[:1]}, {"params": p[1:]}])
    for _ in range(steps):
        gradients(p)
        optimizer.step()
    gradients(p)
    return p, optimizer


def gradients(p: list[Tensor]) -> None:
    for q in p:
        q.grad = torch.full_like(q, 0.1)


def refuses(p: list[Tensor], optimizer: Any, error: type[Exception], says: str) -> None:
    before = [q.detach().clone() for q in p]
    with pytest.raises(error, match=says) as refusal:
        optimizer.step()
    assert "\n" not in str(refusal.value)
    assert same(p, before)


@pytest.mark.parametrize(
    "betas", [(0.9, torch.tensor(0.99)), (torch.tensor(0.9), 0.99), (0.9, 0.99, 0.999), 0.9, None, (0.9, float("nan"))]
)
@pytest.mark.parametrize("kind", [optim.Adam, optim.AdamW, optim.SparseAdamW])
def test_betas_that_are_not_two_numbers_are_refused_at_construction(kind: Any, betas: Any) -> None:
    with pytest.raises(ValueError, match=r"betas=.*must be two numbers, 0 or more and below 1"):
        kind([torch.ones(3, requires_grad=True)], betas=betas)


@pytest.mark.parametrize("betas", [(0.9, 0.99, 0.999), (0.9, float("nan")), (0.9, 1.5), 0.9])
@pytest.mark.parametrize("name", BETAS)
def test_betas_that_are_set_later_are_refused_at_the_step(name: str, betas: Any) -> None:
    p, optimizer = stepped(name)
    optimizer.param_groups[1]["betas"] = betas
    refuses(p, optimizer, ValueError, "betas=.*must be two numbers, 0 or more and below 1; nothing was stepped")


@pytest.mark.parametrize("lr", [float("nan"), float("inf")])
@every
def test_a_rate_that_is_no_finite_number_is_refused_at_construction_and_later(name: str, lr: float) -> None:
    with pytest.raises(ValueError, match=f"lr={lr}: must be a number, 0 or more"):
        ALL[name]([{"params": [torch.ones(3, requires_grad=True)], "lr": lr}])
    p, optimizer = stepped(name)
    optimizer.param_groups[1]["lr"] = lr
    refuses(p, optimizer, ValueError, f"lr={lr}: must be a finite number; nothing was stepped")


@pytest.mark.parametrize("name", BETAS)
def test_a_state_without_step_is_refused_from_a_file_and_from_hand(name: str) -> None:
    p, optimizer = stepped(name)
    file = copy.deepcopy(optimizer.state_dict())
    del file["state"][1]["step"]
    with pytest.raises(ValueError, match=r"no step: it is not that of optim\."):
        optimizer.load_state_dict(file)
    del optimizer.state[p[1]]["step"]
    refuses(p, optimizer, ValueError, r"no step: it is not that of optim\..*; delete it to begin anew")


@pytest.mark.parametrize("name", MOMENTS)
def test_a_model_that_was_cast_is_refused_until_its_state_is_deleted(name: str) -> None:
    p, optimizer = stepped(name)
    for q in p:
        q.grad, q.data = None, q.data.double()
    gradients(p)
    refuses(p, optimizer, ValueError, r"float32, on cpu, the parameter .*float64, on cpu: they must agree; delete")
    if name != "Lookahead":  # its slow weights are float32
        optimizer.state.clear()
        optimizer.step()


@pytest.mark.parametrize("name", DENSE)
def test_parameters_with_gaps_are_refused_at_construction_and_later(name: str) -> None:
    for gaps in (torch.ones(4, 6)[:, ::2], torch.ones(3, 1).expand(3, 4)):
        with pytest.raises(TypeError, match=r"overlaps itself or has gaps; clone\(\) it"):
            ALL[name]([torch.ones(2, requires_grad=True), gaps.requires_grad_()])
    p, optimizer = stepped(name)
    p[2].data = torch.ones(14)[::2]
    refuses(p, optimizer, TypeError, r"overlaps itself or has gaps; clone\(\) it")


@pytest.mark.parametrize("name", DENSE)
def test_a_sparse_gradient_of_a_later_step_is_refused_before_any_group_has_moved(name: str) -> None:
    p, optimizer = stepped(name)
    p[1].grad = torch.ones(5, 2).to_sparse(1)
    refuses(p, optimizer, TypeError, r"got a gradient of layout torch\.sparse_coo")


@pytest.mark.parametrize("other", [torch.ones(3, 2), torch.ones(5, 2, dtype=torch.float64)])
@pytest.mark.parametrize("name", ALL)
def test_a_gradient_of_another_size_or_type_is_refused(name: str, other: Tensor) -> None:
    """At the first step; later too where that costs nothing (see `Cohort.part`)."""
    if name == "LOMO" and other.dtype is torch.float64:
        pytest.skip("it adds it, as torch.optim.SGD does")
    for steps in (0, 2):
        p, optimizer = stepped(name, steps)
        assert p[1].grad is not None
        p[1].grad.data = other
        if not steps and name != "LOMO":
            refuses(p, optimizer, TypeError, "a parameter is .* and its gradient .*: they must agree")
        elif name in ("LOMO", "SparseAdamW") or other.dtype is torch.float64:
            with pytest.raises(TypeError, match=r"gradient .*: they must agree"):
                optimizer.step()


@pytest.mark.parametrize("name", DENSE)
def test_fake_tensors_are_refused_in_words(name: str) -> None:
    with FakeTensorMode(), pytest.raises(TypeError, match="got a FakeTensor"):
        ALL[name]([torch.ones(3, requires_grad=True)])
    p, optimizer = stepped(name)
    with FakeTensorMode():
        for q, shape in zip(p, [(4, 3), (5, 2), (7,)], strict=True):
            q.grad = torch.ones(shape)
        with pytest.raises(TypeError, match=r"its gradient .*\(fake\): they must agree"):
            optimizer.step()


@pytest.mark.parametrize("size", [(3, 4), (70, 80)])
@every
def test_gradients_with_the_negative_bit_step_as_resolved_ones(name: str, size: tuple[int, int]) -> None:
    ends = []
    for resolved in (False, True):
        p = torch.ones(size, requires_grad=True)
        optimizer = ALL[name]([p])
        for step in range(3):
            z = torch.randn(size, dtype=torch.complex64, generator=torch.Generator().manual_seed(step))
            g = z.conj().imag
            assert g.is_neg()
            p.grad = g.resolve_neg().contiguous() if resolved else g
            optimizer.step()
        ends.append([p.detach()])
    assert same(*ends)


@every
def test_the_same_parameter_twice_is_refused_at_construction_and_later(name: str) -> None:
    p, optimizer = stepped(name)
    with (
        pytest.raises(ValueError, match=r"occurs twice in the groups \(0 and 0\): name it once"),
        pytest.warns(UserWarning, match="duplicate parameters"),
    ):
        ALL[name]([torch.ones(3, requires_grad=True)] * 2)
    optimizer.param_groups[1]["params"].append(p[0])
    refuses(p, optimizer, ValueError, r"occurs twice in the groups \(0 and 1\): name it once")
