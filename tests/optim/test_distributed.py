"""DDP, ZeRO and FSDP2 with two processes: the steps are those of one process with the mean gradient."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

import optim
from tests.optim import data_parallel
from tests.optim.ranks import Ranks
from tests.optim.torch_sides import SIDES

pytestmark = pytest.mark.campaign
CLOSE = 1e-6  # of weights about 0.5: the ranks add their gradients in another order
STEPPED = [name for name in data_parallel.KINDS if name != "LOMO"]
AHEAD = [f"Lookahead {name}" for name in data_parallel.FAST]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"  # the two share the machine with other tests
    both = Ranks(tmp_path_factory.mktemp("ranks"))
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before
    yield both
    both.close()


@pytest.mark.parametrize("name", [*STEPPED, *AHEAD[:2]])
def test_ddp_steps_as_one_process_with_all_the_examples(name: str, ranks: Ranks) -> None:
    assert max(ranks(data_parallel.under_ddp, name, False)) < CLOSE


@pytest.mark.parametrize("name", [name for name in SIDES if "LOMO" not in name])
def test_ddp_steps_each_class_as_it_steps_torchs(name: str, ranks: Ranks) -> None:
    assert max(ranks(data_parallel.under_ddp, name, True)) < CLOSE


@pytest.mark.parametrize("name", ["LOMO", "Lookahead LOMO"])
def test_lomo_is_refused_under_ddp_of_two_ranks_before_a_weight_has_moved(name: str, ranks: Ranks) -> None:
    for said, moved in ranks(data_parallel.lomo_under_ddp, name):
        assert "before DistributedDataParallel averages" in said
        assert not moved


def test_lomo_is_served_under_ddp_of_one_rank(tmp_path: Path) -> None:
    dist.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        ends = []
        for make in (optim.LOMO, torch.optim.SGD):
            model = nn.parallel.DistributedDataParallel(data_parallel.network())
            data_parallel.train(model, make(model.parameters(), lr=0.1), 0, 4)
            ends.append(model)
        assert data_parallel.apart(*ends) == 0
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("name", [*data_parallel.KINDS, *AHEAD])
def test_fsdp2_steps_as_one_process_also_where_shards_are_uneven_or_empty(name: str, ranks: Ranks) -> None:
    assert max(ranks(data_parallel.under_fsdp, name)) < CLOSE


@pytest.mark.parametrize("way", ["", "flatten_optimizer_state_dict", "full_state_dict"])
@pytest.mark.parametrize("name", ["Adam", "AdamW paper", "SGDW paper", "SparseAdamW paper", *AHEAD[:2]])
def test_a_checkpoint_under_fsdp2_goes_on_with_the_same_decay(name: str, way: str, ranks: Ranks) -> None:
    assert max(ranks(data_parallel.resumed_under_fsdp, name, {way: True} if way else {})) < CLOSE


@pytest.mark.parametrize(("groups", "on_disk"), [(False, True), (True, False)], ids=["a group, disk", "two, memory"])
@pytest.mark.parametrize("name", STEPPED)
def test_zero_steps_as_the_class_alone_and_takes_its_files_as_it_takes_zeros(
    name: str, groups: bool, on_disk: bool, ranks: Ranks
) -> None:
    for off in ranks(data_parallel.under_zero, name, groups, on_disk):
        assert {way: far for way, far in off.items() if far > CLOSE} == {}
