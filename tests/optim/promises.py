"""A table like PyTorch's `OptimizerInfo`: each class, options that are worth trying, torch.optim's of the same kind.

PyTorch tests its optimizers by some sixty claims about every class (test/test_optim.py, `TestOptimRenewed`). Those that
apply here are written anew in `test_torch_promises.py`. These do not, and why:

    about complex parameters (complex, complex_2d)                      complex parameters are refused in words
    about rates that are tensors (tensor_lr, num_dim_1_raises)          refused in words by the constructor
    about CUDA (multigpu, mixed_device_dtype, with_cuda_params,         `test_kernel_cuda` and `scripts/gpu.sh`, where
      fused_cpu_matches_cuda, foreach_large_tensor, fused_large_tensor)   there is a GPU
    about graphs of the class's step (capturable, accelerator graphs)   not served: `optim.launch` is
    about differentiable steps                                          refused by name
    about which implementation is chosen (cliquey_kwargs,               there is one implementation
      defaults_changed_to_foreach, peak_memory_foreach,
      default_dtype_works_with_foreach, foreach_matches_forloop)
    about found_inf within a step (fused_does_not_step_if_foundinf)     GradScaler decides, as for torch's default
    about amsgrad, maximize, nesterov, dampening                        refused by name
    about one class of torch (adagrad, adam_w's amsgrad, lbfgs, muon)   other classes
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import optim

Make = Callable[..., Any]


@dataclass(frozen=True)
class Info:
    """`make(params, **options)`; `theirs` likewise, or None; `options`: sets of them to try; what the class keeps."""

    name: str
    make: Make
    theirs: Make | None
    options: tuple[dict[str, Any], ...]
    decays: str = "weight_decay"
    has_state: bool = True
    steps_in_backward: bool = False

    def __str__(self) -> str:
        return self.name


ADAM = (
    {},
    {"lr": 0.01},
    {"lr": 0.01, "weight_decay": 0.1},
    {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-4},
    {"lr": 0.01, "betas": (0.0, 0.9), "weight_decay": 0.1},
)
SGD = ({"lr": 0.01}, {"lr": 0.01, "momentum": 0.9}, {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1})
PLAIN = ({"lr": 0.01}, {"lr": 0.02})


def exact(kind: Any) -> Make:
    """A class whose decay is torch's to the bit."""
    return lambda params, **options: kind(params, release=False, **options)


INFOS = (
    Info("Adam", optim.Adam, torch.optim.Adam, ADAM),
    Info("AdamW", exact(optim.AdamW), torch.optim.AdamW, ADAM),
    Info("AdamW released", optim.AdamW, torch.optim.AdamW, ADAM),
    Info("SGD", optim.SGD, torch.optim.SGD, SGD, has_state=False),
    Info("SGDW", exact(optim.SGDW), None, SGD, has_state=False),
    Info("SparseAdamW", optim.SparseAdamW, torch.optim.AdamW, ADAM),
    Info("LOMO", optim.LOMO, torch.optim.SGD, PLAIN, has_state=False, steps_in_backward=True),
    Info("Lookahead", lambda params, **o: optim.Lookahead(optim.AdamW(params, **o), 3), None, ADAM),
)
EACH = [(info, options) for info in INFOS for options in info.options]
