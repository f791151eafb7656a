"""Attention is torch's, in whichever way it is computed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models import transformer


def parts(queries: int, positions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values of 3 trials, 5 examples and 2 heads."""
    draw = torch.Generator().manual_seed(0)
    sizes = (queries, positions, positions)
    q, k, v = (torch.randn(3, 5, t, 2, 4, generator=draw, dtype=torch.float64) for t in sizes)
    return q, k, v


@pytest.mark.parametrize(("queries", "causal"), [(6, True), (6, False), (1, False)])
def test_of_a_short_sequence_it_is_three_products(queries: int, causal: bool) -> None:
    q, k, v = (x.flatten(0, 1).transpose(1, 2) for x in parts(queries, 6))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(transformer.short(q, k, v, causal), expected)


def test_more_examples_than_it_takes_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = parts(6, 6)
    whole = transformer.attention(q, k, v, True)
    seen = []
    attend = F.scaled_dot_product_attention

    def counted(q: Tensor, *rest: Tensor, is_causal: bool) -> Tensor:
        seen.append(len(q))
        return attend(q, *rest, is_causal=is_causal)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    monkeypatch.setattr(transformer, "ATTENDED", 4)
    torch.testing.assert_close(transformer.attention(q, k, v, True), whole)
    assert sum(seen) == 15
    assert max(seen) <= 4
