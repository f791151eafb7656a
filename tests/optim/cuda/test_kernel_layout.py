"""What one launch serves and refuses is said before anything is stepped; no Triton is needed to say it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from optim.cuda import kernel_for
from optim.cuda.layout import Controls, arranged, blocks, dense, refuse_unserved
from optim.rules import COLUMNS
from optim.stacked import Stacked

CPU = torch.device("cpu")


def check(p: Tensor, trials: int = 1, m: Tensor | None = None) -> None:
    zeros = torch.zeros_like(p, dtype=torch.float32) if m is None else m
    refuse_unserved([p], [zeros], [zeros], trials)


def test_importing_the_launch_does_not_import_triton() -> None:
    code = "import sys, optim.cuda.launch; assert not any(m.split('.')[0] == 'triton' for m in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_triton_without_a_compiler_is_refused_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = pytest.importorskip("triton.runtime")

    class Driver:
        @property
        def active(self) -> None:
            raise RuntimeError("Failed to find C compiler.\nSee the documentation")

    monkeypatch.setattr(runtime, "driver", Driver())
    with pytest.raises(ImportError, match=r"needs a C compiler \(install gcc or set CC\): Failed to find C.*\.$"):
        kernel_for(torch.device("cuda"))


def test_a_stack_whose_kernel_is_missing_says_so_and_steps_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(device: torch.device) -> None:
        raise ImportError("the step on a GPU needs Triton: pip install triton")

    monkeypatch.setattr("optim.cuda.launch.kernel_for", missing)
    monkeypatch.setattr("optim.cpu_rows.serves", lambda parameters: False)
    stacks = []
    for on_gpu in (False, True):
        monkeypatch.setattr(Tensor, "is_cuda", on_gpu)
        parameters = [torch.ones(2, 3, requires_grad=True)]
        parameters[0].grad = torch.full((2, 3), 0.5)
        with pytest.warns(UserWarning, match="pip install triton; until then") if on_gpu else nullcontext():
            stacks.append(Stacked(parameters, "adam", [True]))
        assert stacks[-1].launch is None
        stacks[-1].step(torch.full((2, COLUMNS, 2), 0.5), torch.tensor([True, False]))
    assert torch.equal(stacks[0].parameters[0], stacks[1].parameters[0])
    assert stacks[0].parameters[0][1].tolist() == [1, 1, 1] != stacks[0].parameters[0][0].tolist()


def test_blocks_cover_every_element_of_every_trial_once_and_cross_nothing() -> None:
    sizes, trials, block = [10, 1024, 2049, 0, 1], 3, 1024
    covered = [torch.zeros(trials, size, dtype=torch.int32) for size in sizes]
    for tensor, trial, group, number, count in blocks(sizes, [4, 0, 1, 0, 2], trials, block).tolist():
        assert group == [4, 0, 1, 0, 2][tensor]
        assert 0 < count <= block
        covered[tensor][trial, number * block : number * block + count] += 1
    assert all(bool((c == 1).all()) for c in covered)
    assert blocks([], [], 1, block).shape == (0, 5)


@pytest.mark.parametrize(
    ("p", "trials", "served"),
    [
        (torch.zeros(4, 6), 1, True),
        (torch.zeros(4, 6).T, 1, True),
        (torch.zeros(2, 4, 3, 3).to(memory_format=torch.channels_last), 1, True),
        (torch.zeros(()), 1, True),
        (torch.zeros(0, 3), 1, True),
        (torch.zeros(4, 6)[:, ::2], 1, False),
        (torch.zeros(1, 6).expand(4, 6), 1, False),
        (torch.zeros(4, 6), 4, True),
        (torch.zeros(4, 3, 2).transpose(1, 2), 4, True),
        (torch.zeros(6, 4).T, 4, False),
    ],
)
def test_a_layout_is_served_if_it_has_no_gaps_and_trials_outermost(p: Tensor, trials: int, served: bool) -> None:
    assert dense(p, trials) == served
    if served:
        check(p, trials)
    else:
        with pytest.raises(ValueError, match="gaps, overlaps, or trials"):
            check(p, trials, torch.empty_strided(p.shape, p.stride()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.complex64])
def test_other_dtypes_are_refused_by_name(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=str(dtype)):
        check(torch.zeros(3, dtype=dtype))


def test_sparse_meta_and_ill_matched_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="sparse"):
        check(torch.eye(3).to_sparse())
    with pytest.raises(ValueError, match="no memory"):
        check(torch.zeros(3, device="meta"))
    with pytest.raises(ValueError, match="differs in shape or layout"):
        check(torch.zeros(2, 3), m=torch.zeros(3, 2).T)
    with pytest.raises(ValueError, match="first axis must be the 4 trials"):
        check(torch.zeros(2, 3), trials=4)
    with pytest.raises(ValueError, match="2 tensors as moment 2 of parameter: there are 1"):
        refuse_unserved([torch.zeros(1)], [torch.zeros(1)], [torch.zeros(1)] * 2, 1)


def test_only_gradients_in_another_layout_are_copied() -> None:
    p = torch.zeros(3, 4)
    same, other = torch.randn(3, 4), torch.randn(4, 3).T
    found = arranged([same, other, None], [p, p, p])
    assert found[0] is same
    assert found[2] is None
    assert found[1] is not None
    assert found[1].is_contiguous()
    assert torch.equal(found[1], other)


def test_gradients_that_cannot_be_read_are_refused() -> None:
    p = torch.zeros(3, 3)
    for bad, message in (
        ([torch.eye(3).to_sparse()], "sparse gradients"),
        ([torch.zeros(3, 3, dtype=torch.float64)], "gradient 0 is torch.float64: must be float32"),
        ([torch.zeros(3, 3, dtype=torch.bfloat16)], "gradient 0 is torch.bfloat16: must be float32"),
        ([torch.zeros(3)], "not as its parameter"),
        ([], "0 gradients for 1"),
    ):
        with pytest.raises(ValueError, match=message):
            arranged(bad, [p])


def test_controls_of_another_shape_or_dtype_are_refused() -> None:
    rows, one = torch.zeros(1, 2, COLUMNS, 3), torch.ones(3)
    Controls(rows, one.bool(), one, one[:1].int()).refuse_unserved(CPU, 2, 3)
    Controls(rows, None, None, None).refuse_unserved(CPU, 1, 3)
    for bad, message in (
        (Controls(rows, None, None, None), "must be \\[3,"),
        (Controls(rows[0], None, None, None), "rows are"),
        (Controls(rows.double(), None, None, None), "rows: torch.float64"),
        (Controls(rows, one, None, None), "live: torch.float32"),
        (Controls(rows, None, one[:1], None), "scale has 1 elements"),
        (Controls(rows, one.int(), None, None), "live: torch.int32"),
        (Controls(rows, None, None, one[:1].long()), "clock: torch.int64"),
        (Controls(rows, None, None, one.int()), "clock has 3 elements"),
    ):
        with pytest.raises(ValueError, match=message):
            bad.refuse_unserved(CPU, 3 if "must" in message else 2, 3)
