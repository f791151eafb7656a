"""Networks have the published sizes and equal the same network written without a trial axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from optim.cuda.layout import strides
from runner.errors import UserError
from runner.models import layers
from runner.models.build import build
from runner.models.settings import ResNetSettings, ShakeShakeSettings, TransformerSettings
from runner.models.shakeshake import Shake, ShakeShake
from runner.models.transformer import attention
from tests.helpers import MODELS, images, tokens


@pytest.mark.parametrize(
    ("width", "classes", "count"),
    [
        (32, 10, 2_923_162),
        (64, 10, 11_653_978),
        (96, 10, 26_192_922),
        (64, 1000, 11_908_408),
        (96, 1000, 26_574_072),
    ],
)
def test_shakeshake_has_the_parameters_of_the_papers_network(width: int, classes: int, count: int) -> None:
    with torch.device("meta"):
        model = ShakeShake(ShakeShakeSettings("shakeshake", 26, width), 1, 3, classes)
    assert sum(p.numel() for p in model.parameters()) == count


def test_resnet20_has_the_parameters_of_he_et_al() -> None:
    dataset = images(size=32)
    with torch.device("meta"):
        model = build(ResNetSettings("resnet", 20, 16), dataset, 1)
    projections = 16 * 32 + 32 * 64 + 2 * (32 + 64)  # where He et al. pad with zeros
    classifier = 64 * 4 + 4
    assert sum(p.numel() for p in model.parameters()) == 269_722 - 650 + classifier + projections + 0


def plain_conv(layer: layers.Conv2d, slot: int) -> nn.Conv2d:
    weight = layer.weight[slot]
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], weight.shape[2], layer.stride, layer.padding, bias=False)
    conv.weight.data.copy_(weight.detach())
    return conv


def test_stacked_layers_equal_torchs_own_layer_by_layer() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 4, 8, 8, generator=g)
    conv, norm, linear = layers.Conv2d(3, 4, 6, 3, 2), layers.BatchNorm2d(3, 6), layers.Linear(3, 6, 7)
    for module in (conv, norm, linear):
        layers.initialise(module, [torch.Generator().manual_seed(i) for i in range(3)])
    packed = norm(conv(layers.pack(x)))
    logits = linear(layers.Pool(3)(packed))
    for slot in range(3):
        own = nn.BatchNorm2d(6)
        y = own(plain_conv(conv, slot)(x[slot]))
        torch.testing.assert_close(packed.unflatten(1, (3, -1))[:, slot], y)
        torch.testing.assert_close(norm.running_var[slot], own.running_var)
        torch.testing.assert_close(logits[slot], F.linear(y.mean((2, 3)), linear.weight[slot], linear.bias[slot]))


def test_layer_norm_embedding_and_attention_equal_torchs_own() -> None:
    g = torch.Generator().manual_seed(0)
    generators = [torch.Generator().manual_seed(i) for i in range(2)]
    norm, embedding = layers.LayerNorm(2, 8), layers.Embedding(2, 11, 8, 0.5)
    for module in (norm, embedding):
        layers.initialise(module, generators)
    norm.weight.data.normal_(generator=g)
    norm.bias.data.normal_(generator=g)
    ids = torch.randint(11, (2, 3, 5), generator=g)
    x = norm(embedding(ids))
    by_head = x.unflatten(-1, (2, -1))
    y = attention(by_head, by_head, by_head, causal=True)
    for slot in range(2):
        own = F.layer_norm(embedding.weight[slot][ids[slot]], (8,), norm.weight[slot], norm.bias[slot])
        torch.testing.assert_close(x[slot], own)
        heads = own.unflatten(-1, (2, 4)).transpose(1, 2)
        scores = heads @ heads.transpose(-1, -2) / 2
        scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
        torch.testing.assert_close(y[slot], (scores.softmax(-1) @ heads).transpose(1, 2).flatten(2))


def test_shake_mixes_forward_with_one_number_and_backward_with_another() -> None:
    x1, x2 = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    a, b = torch.rand(4), torch.rand(4)
    y = Shake.apply(x1, x2, a, b)
    torch.testing.assert_close(y, a * x1 + (1 - a) * x2)
    y.sum().backward()
    torch.testing.assert_close(x1.grad, b)
    torch.testing.assert_close(x2.grad, 1 - b)


def test_shake_noise_reaches_the_image_it_was_drawn_for() -> None:
    dataset = images()
    model = build(MODELS["shakeshake"], dataset, 2)
    layers.initialise(model, [torch.Generator().manual_seed(i) for i in range(2)])
    model.eval()  # batch statistics would couple the images
    x = torch.randn(2, 4, 3, 8, 8)
    noise = torch.full((2, 4, model.noise_width), 0.5)
    changed = noise.clone()
    changed[1, 2] = 0.9
    differs = (model(x, noise) - model(x, changed)).abs().sum(-1) > 1e-6
    assert differs.tolist() == [[False] * 4, [False, False, True, False]]


def test_equal_generators_give_equal_networks_wherever_they_sit() -> None:
    one = build(MODELS["resnet"], images(), 3)
    layers.initialise(one, [torch.Generator().manual_seed(seed) for seed in (5, 6, 5)])
    for p in one.parameters():
        assert torch.equal(p[0], p[2])
    assert not torch.equal(one.stem.weight[0], one.stem.weight[1])


def test_a_causal_transformer_does_not_see_the_future() -> None:
    dataset = tokens(per_position=True)
    model = build(MODELS["transformer"], dataset, 2)
    layers.initialise(model, [torch.Generator().manual_seed(i) for i in range(2)])
    x = torch.from_numpy(np.stack([dataset.train.x[:3]] * 2))
    later = x.clone()
    later[..., 4] = (later[..., 4] + 1) % 7
    before, after = model(x), model(later)
    torch.testing.assert_close(before[:, :, :4], after[:, :, :4])
    assert not torch.allclose(before[:, :, 4], after[:, :, 4])


def test_a_model_refuses_data_it_cannot_take_in_one_line() -> None:
    for settings, dataset in [
        (MODELS["resnet"], tokens()),
        (MODELS["shakeshake"], images(size=2)),
        (TransformerSettings("transformer", patch=3), images()),
    ]:
        with pytest.raises(UserError) as refusal:
            build(settings, dataset, 1)
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("trials", [1, 2])
@pytest.mark.parametrize("name", ["resnet", "shakeshake"])
def test_every_convolution_gets_channels_last(name: str, trials: int) -> None:
    dataset = images()
    model = build(MODELS[name], dataset, trials)
    layers.initialise(model, [torch.Generator().manual_seed(0)] * trials)
    found: list[bool] = []

    def look(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        found.append(given[0].is_contiguous(memory_format=torch.channels_last))

    for module in model.modules():
        if isinstance(module, layers.Conv2d):
            module.register_forward_pre_hook(look)
    noise = torch.rand(trials, 5, model.noise_width) if model.noise_width else None
    size, channels = dataset.train.x.shape[1], dataset.train.x.shape[3]
    model(torch.randn(trials, 5, channels, size, size), noise).sum().backward()
    assert len(found) > 5
    assert all(found)
    for module in model.modules():
        if isinstance(module, layers.Conv2d):
            filters = module.weight.flatten(0, 1)
            assert filters.data_ptr() == module.weight.data_ptr()  # no copy
            assert filters.is_contiguous(memory_format=torch.channels_last)
            assert module.weight.grad is not None
            assert strides(module.weight.grad) == strides(module.weight)
