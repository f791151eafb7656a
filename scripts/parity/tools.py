"""optim's classes beside torch.optim's in accelerate, Lightning and the HF Trainer: `python scripts/parity tools`.

Each tool that is installed trains a small network with a schedule, clipped and accumulated gradients, saves it half
way, and goes on from the file with new objects. A line says which version, how far the weights are from those of
torch.optim in the same tool, and how far a resumed run is from one that was never interrupted. All data and models are
made here, on the CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import optim

LR, WD, STEPS = 1e-2, 1e-3, 12  # the paper's decay; torch's is WD / LR
Make = Callable[[Any], torch.optim.Optimizer]


def torch_adamw(parameters: Any) -> torch.optim.Optimizer:
    # The paper's decay in torch's units.
    return torch.optim.AdamW(parameters, LR, weight_decay=WD / LR)


SIDES: dict[str, tuple[Make, Make | None]] = {  # ours, and torch's if it has such a class
    "Adam": (lambda p: optim.Adam(p, LR, weight_decay=0.1), lambda p: torch.optim.Adam(p, LR, weight_decay=0.1)),
    "AdamW": (lambda p: optim.AdamW(p, LR, weight_decay=WD / LR), torch_adamw),
    "AdamW, release=False": (lambda p: optim.AdamW(p, LR, weight_decay=WD / LR, release=False), torch_adamw),
    "AdamW, paper": (lambda p: optim.AdamW(p, LR, weight_decay=WD, convention="paper"), torch_adamw),
    "SGD": (lambda p: optim.SGD(p, LR, 0.9, weight_decay=0.1), lambda p: torch.optim.SGD(p, LR, 0.9, weight_decay=0.1)),
    "SGDW, paper": (lambda p: optim.SGDW(p, LR, 0.9, weight_decay=WD, convention="paper"), None),
    "Lookahead": (lambda p: optim.Lookahead(optim.AdamW(p, LR, weight_decay=WD, convention="paper")), None),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))


def examples() -> TensorDataset:
    x = torch.randn(4 * 2 * STEPS, 8, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, x.sum(1, keepdim=True).sin())


def falling(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2 * STEPS)


Weights = list[Tensor]
Way = Callable[[Make, bool, Path], Weights]  # trains with `make`, interrupted or not


def with_accelerate(make: Make, interrupted: bool, folder: Path) -> Weights:
    """With a gradient scaler as for fp16, and a gradient that is not finite in the third step, which is skipped."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState

    def prepared() -> tuple[Any, ...]:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=256.0)  # which accelerate makes on GPUs alone
        model = network()
        optimizer = make(model.parameters())
        loader = DataLoader(examples(), batch_size=4)
        return accelerator, *accelerator.prepare(model, optimizer, loader, falling(optimizer))

    accelerator, model, optimizer, loader, schedule = prepared()
    for number, (x, y) in enumerate(loader):
        if interrupted and number == STEPS:
            accelerator.save_state(str(folder), safe_serialization=False)
            accelerator, model, optimizer, _, schedule = prepared()
            accelerator.load_state(str(folder))
        with accelerator.accumulate(model):
            rate = schedule.get_last_lr()
            loss = (model(x) - y).square().mean() * (float("inf") if number == 5 else 1.0)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            if number == 5 and not optimizer.step_was_skipped:
                raise AssertionError("a skipped step is not seen as skipped")
            schedule.step()
            if number == 5 and schedule.get_last_lr() != rate:
                raise AssertionError("the schedule goes on in a step that was skipped")
            optimizer.zero_grad()
    return [p.detach().clone() for p in accelerator.unwrap_model(model).parameters()]


def with_lightning(make: Make, interrupted: bool, folder: Path) -> Weights:
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def training_step(self, batch: Any, _: int) -> Tensor:
            return (self.net(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self) -> Any:
            optimizer = make(self.parameters())
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": falling(optimizer), "interval": "step"}}

    def fit(epochs: int, file: Path | None) -> tuple[Any, Any]:
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            gradient_clip_val=1.0,
            accumulate_grad_batches=2,
            enable_checkpointing=False,
            default_root_dir=folder,
            **quiet,
        )
        module = Module()
        trainer.fit(module, DataLoader(examples(), batch_size=4), ckpt_path=file)
        return trainer, module

    if not interrupted:
        _, module = fit(2, None)
    else:
        trainer, _ = fit(1, None)
        trainer.save_checkpoint(folder / "half.ckpt")
        _, module = fit(2, folder / "half.ckpt")
    return [p.detach().clone() for p in module.parameters()]


class Sentences(Dataset):
    """Made of 16 numbers that count up."""

    def __len__(self) -> int:
        return 8 * STEPS

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        words = (torch.arange(8) * (1 + index % 3) + index) % 16
        return {"input_ids": words, "labels": words}


def with_transformers(make: Make, interrupted: bool, folder: Path) -> Weights:
    from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback
    from transformers.utils import logging as talk

    talk.set_verbosity_error()
    talk.disable_progress_bar()

    def trainer(steps: int) -> Any:
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=16, n_positions=8, n_embd=16, n_layer=1, n_head=2)
        model = GPT2LMHeadModel(config)
        optimizer = make(model.parameters())
        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=steps,
            save_steps=STEPS // 2,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=2,
            max_grad_norm=1.0,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            logging_strategy="no",
            seed=0,
        )
        made = Trainer(model, arguments, train_dataset=Sentences(), optimizers=(optimizer, falling(optimizer)))
        made.remove_callback(PrinterCallback)
        return made

    run = trainer(STEPS // 2 if interrupted else STEPS)
    run.train()
    if interrupted:
        run = trainer(STEPS)
        run.train(resume_from_checkpoint=str(folder / f"checkpoint-{STEPS // 2}"))
    return [p.detach().clone() for p in run.model.parameters()]


TOOLS: dict[str, Way] = {
    "accelerate": with_accelerate,
    "lightning": with_lightning,
    "transformers": with_transformers,
}


def apart(one: Weights, other: Weights) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def trained(way: Way, make: Make, interrupted: bool) -> Weights:
    with tempfile.TemporaryDirectory() as folder:
        return way(make, interrupted, Path(folder))


def line(tool: str) -> str:
    """The line of a tool."""
    if importlib.util.find_spec(tool) is None:
        return f"{tool}: is not installed"
    version = __import__(tool).__version__
    said = []
    for name, (ours, side) in SIDES.items():
        whole, resumed = (trained(TOOLS[tool], ours, interrupted) for interrupted in (False, True))
        beside = f"{apart(whole, trained(TOOLS[tool], side, False)):.0e} from torch.optim, " if side else ""
        said.append(f"{name} {beside}{apart(whole, resumed):.0e} when resumed")
    return f"{tool} {version}, torch {torch.__version__}: " + "; ".join(said).replace("0e+00", "0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", choices=[[], *TOOLS], metavar="tool", help=f"{', '.join(TOOLS)}; all")
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for tool in parser.parse_args().tools or TOOLS:
        print(line(tool), flush=True)
