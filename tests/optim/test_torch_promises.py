"""What PyTorch's own optimizer tests claim of a step, claimed of ours. Of the state: `test_torch_promises_state`.

PyTorch's test_optim.py has 44 tests (TestOptimRenewed). 29 apply and are here, named after the claim; where PyTorch
compares its implementations, ours is compared with torch.optim's for-loop. 15 do not apply:

    optim_infos_do_not_specify_global_cliquey_kwargs    is about PyTorch's own table
    tensor_lr                                           a rate that is a tensor is refused at construction, see below
    complex, complex_2d                                 complex parameters are refused, see below
    second_order_optims_return_consistent_types         there is no second-order optimizer here
    foreach_large_tensor, fused_large_tensor            float16, which is refused; 2^32 elements
    peak_memory_foreach, defaults_changed_to_foreach    there is no foreach implementation here
    fused_does_not_step_if_foundinf                     a scaler skips the step of ours itself (test_optimizer)
    mixed_device_dtype                                  needs two GPUs, and float16 is refused
    forloop_goes_right_direction_multigpu               needs two GPUs
    cpu_load_state_dict, state_dict_with_cuda_params, fused_cpu_matches_cuda     need a GPU; see test_kernel_cuda

Of PyTorch's configurations those with amsgrad, maximize, dampening, nesterov, capturable or a tensor as rate are
refused in words; `differentiable` and a capture in CUDA graphs are not served either. LOMO refuses a step before which
nothing got a gradient, so a step without gradients is nothing for the six others only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, ReduceLROnPlateau, StepLR

import optim
from tests.optim.infos import INFOS, Info, Numbers, loss_of, pair, train

SERVED = [(name, numbers) for name, info in INFOS.items() for numbers in info.served()]
REFUSED = [(name, numbers) for name, info in INFOS.items() for numbers in info.refused()]
served = pytest.mark.parametrize(("name", "numbers"), SERVED, ids=str)
SCHEDULES: list[list[Callable[[Any], Any]]] = [
    [],
    [lambda o: StepLR(o, gamma=0.9, step_size=10), ReduceLROnPlateau],
    [lambda o: LinearLR(o, start_factor=0.4, total_iters=4), lambda o: ExponentialLR(o, gamma=0.99)],
    [lambda o: CosineAnnealingLR(o, 30)],
]


def assert_descends(optimizer: Any, weight: Tensor, bias: Tensor, schedule: list[Callable[[Any], Any]]) -> None:
    schedulers = [make(optimizer) for make in schedule]
    first = loss_of(weight, bias).item()
    for _ in range(20):
        loss = train(optimizer, weight, bias, 1)
        for scheduler in schedulers:
            scheduler.step(*[loss.item()] * isinstance(scheduler, ReduceLROnPlateau))
    assert loss_of(weight, bias).item() < first


def errors(info: Info) -> list[Any]:
    found = [one.optimizer_error_input for one in info.errors("cpu", torch.float32)]
    return [one for one in found if set(one.kwargs) <= info.takes]


@pytest.mark.filterwarnings("ignore:.*duplicate parameters")  # torch's own, before ours is raised
@pytest.mark.parametrize("name", INFOS)
def test_what_torch_refuses_or_warns_of_at_construction_is_refused(name: str) -> None:
    """All that torch.optim refuses or warns of at construction is refused."""
    info = INFOS[name]
    assert len(errors(info)) >= 6
    for one in errors(info):
        parameters = one.params if one.params is not None else list(pair())
        with pytest.raises((TypeError, ValueError)) as refusal:
            info.make(parameters, one.kwargs)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("name", "numbers"), REFUSED, ids=str)
def test_configurations_of_torch_that_are_not_served_are_refused_by_name(name: str, numbers: Numbers) -> None:
    with pytest.raises(ValueError, match=r"(amsgrad|maximize|dampening|nesterov)=|lr=tensor"):
        INFOS[name].make(list(pair()), numbers)


@pytest.mark.parametrize("name", INFOS)
def test_complex_and_meta_parameters_are_refused(name: str) -> None:
    with pytest.raises(TypeError, match="complex64"):
        INFOS[name].make([torch.randn(3, dtype=torch.complex64, requires_grad=True)], {})
    if name not in ("LOMO", "SparseAdamW"):  # whose steps are torch's operators, which serve them
        with pytest.raises(TypeError, match="meta"):
            INFOS[name].make([torch.zeros(3, device="meta", requires_grad=True)], {})


@pytest.mark.parametrize("gaps", [False, True])
@served
def test_it_goes_in_the_right_direction_with_and_without_a_scheduler(name: str, numbers: Numbers, gaps: bool) -> None:
    info = INFOS[name]
    if gaps and not info.gaps:
        with pytest.raises(TypeError, match="overlaps itself or has gaps; clone"):
            info.make(list(pair(gaps)), numbers)
        return
    for schedule in SCHEDULES:
        tensors = pair(gaps)
        assert_descends(info.make(list(tensors), numbers), *tensors, schedule)


@pytest.mark.parametrize("name", INFOS)
def test_groups_under_a_scheduler_go_in_the_right_direction(name: str) -> None:
    for schedule in SCHEDULES[1:]:
        weight, bias = pair()
        groups = [{"params": [weight]}, {"params": [bias], "lr": 0.01}]
        assert_descends(INFOS[name].make(groups, {}), weight, bias, schedule)


@served
def test_groups_with_and_without_decay_go_in_the_right_direction(name: str, numbers: Numbers) -> None:
    weight, bias = pair()
    groups = [{"params": [weight], **numbers}, {"params": [bias], **numbers, "weight_decay": 0.0}]
    assert_descends(INFOS[name].make(groups, {}), weight, bias, [])


@served
def test_groups_move_at_the_rate_of_each(name: str, numbers: Numbers) -> None:
    (weight, bias), still = pair(), torch.randn(2, requires_grad=True)
    before = still.detach().clone()
    groups = [{"params": [weight, bias], "lr": 1e-3, **numbers}, {"params": [still]}]
    optimizer = INFOS[name].make(groups, {"lr": 1e-28})
    optimizer.register_step_pre_hook(lambda *_: setattr(still, "grad", torch.ones_like(still)))
    assert_descends(optimizer, weight, bias, [])
    torch.testing.assert_close(still.detach(), before, rtol=0, atol=0)


def network(dtype: torch.dtype) -> tuple[Any, list[Tensor]]:
    """With a number and an empty tensor beside its layers, as are found in models."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1), nn.Sigmoid()).to(dtype)
    others = [torch.tensor(0.5, dtype=dtype, requires_grad=True), torch.zeros(0, dtype=dtype, requires_grad=True)]
    return model, [*model.parameters(), *others]


@pytest.mark.parametrize("default", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@served
def test_it_is_the_for_loop_step_by_step(name: str, numbers: Numbers, dtype: torch.dtype, default: torch.dtype) -> None:
    """Whatever the default dtype, with steps without any gradient and a layer that is frozen and unfrozen."""
    torch.set_default_dtype(default)
    try:
        sides = [network(dtype) for _ in range(2)]
        optimizers = [INFOS[name].make(sides[0][1], numbers), INFOS[name].forloop(sides[1][1], **numbers)]
        for i in range(7):
            for (model, tensors), optimizer in zip(sides, optimizers, strict=True):
                for p in tensors:
                    p.grad = None
                model[2].requires_grad_(i not in (3, 4))
                if i != 2:
                    model(torch.arange(1, 7, dtype=dtype).view(3, 2) / 10).sum().backward()
                    tensors[-2].grad, tensors[-1].grad = torch.full((), 0.3, dtype=dtype), torch.zeros(0, dtype=dtype)
                if i != 2 or name != "LOMO":
                    optimizer.step()
            for a, b in zip(sides[0][1], sides[1][1], strict=True):
                torch.testing.assert_close(a, b)
                for key, value in optimizers[1].state.get(b, {}).items():
                    if isinstance(value, Tensor):
                        torch.testing.assert_close(optimizers[0].state[a][key], value, check_dtype=key != "step")
    finally:
        torch.set_default_dtype(torch.float32)


@served
def test_a_step_without_gradients_does_nothing(name: str, numbers: Numbers) -> None:
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), numbers)
    if name == "LOMO":
        with pytest.raises(RuntimeError, match="call backward"):
            optimizer.step(lambda: torch.ones(1))
    else:
        assert optimizer.step(lambda: torch.ones(1)) == 1
    assert all(torch.equal(a, b) for a, b in zip(tensors, pair(), strict=True))
    assert not any(optimizer.state.values())


@served
def test_a_step_of_zero_gradients_moves_nothing(name: str, numbers: Numbers) -> None:
    tensors = pair()
    optimizer = INFOS[name].make(list(tensors), {**numbers, "weight_decay": 0.0})
    for p in tensors:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(tensors, pair(), strict=True))


def test_sparse_gradients_go_down_rosenbrocks_valley_as_dense_ones() -> None:
    """Descent in one coordinate at a time by gradients that are not coalesced ends where dense ones of ours do."""
    ends = []
    for sparse in (True, False):
        p = nn.Parameter(torch.tensor([1.5, 1.5], dtype=torch.float64))
        optimizer = optim.SparseAdamW([p], lr=0.02, weight_decay=0.0)
        for i in range(400):
            optimizer.catch_up(p)
            x, y = p.tolist()
            g = (-400 * x * (y - x**2) - 2 * (1 - x), 200 * (y - x**2))[i % 2]
            parts = torch.sparse_coo_tensor(
                [[i % 2] * 2], [g / 4, g - g / 4], (2,), dtype=torch.float64, check_invariants=False
            )
            p.grad = parts if sparse else parts.to_dense()
            optimizer.step()
        optimizer.catch_up()
        ends.append(p.detach())
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-9)
    assert ends[0].dist(torch.ones(2)) < torch.tensor([1.5, 1.5]).dist(torch.ones(2))
