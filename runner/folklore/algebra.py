"""Claims about formulas, 2 to 7, judged from checks.csv (`runner.folklore.checks`): check name -> value."""

from __future__ import annotations

from collections.abc import Mapping

from runner.analysis.measures import number, short
from runner.folklore.verdict import FALSE, PARTLY, TRUE, Verdict

EQUAL = 1e-9  # relative distance of float64 trajectories that are the same but for rounding


def same_and_cheaper(checks: Mapping[str, float]) -> Verdict:
    same = checks["adamw_or_l2"] < EQUAL
    cheaper = checks["time_l2_in_loss"] > 1.05 and checks["time_l2_in_gradient"] > 1.05
    return Verdict(
        2,
        "AdamW has the same effect as Adam + L2 and is merely cheaper, because the penalty needs no extra backward",
        "distance of trajectories: L2 in loss and in gradient, AdamW and L2; time of a step against AdamW's",
        f"L2 in both places {short(checks['l2_in_loss_or_gradient'], 2)}, AdamW and L2 "
        f"{short(checks['adamw_or_l2'], 2)}; time: L2 in the gradient "
        f"{number(checks['time_l2_in_gradient'])}x, in the loss {number(checks['time_l2_in_loss'])}x",
        TRUE if same and cheaper else PARTLY if same else FALSE,
        "checks.csv: adamw_or_l2, l2_in_loss_or_gradient, time_l2_in_*",
    )


def formulas(checks: Mapping[str, float]) -> Verdict:
    first, second = checks["traditional_adam_is_adam"] < EQUAL, checks["eta_twice_is_torch_adamw"] < EQUAL
    return Verdict(
        3,
        '"Traditional Adam": theta - eta (m/(sqrt(v)+eps) + lambda theta); "AdamW": theta - eta (m/(sqrt(v)+eps) + '
        "lambda eta theta)",
        "distance of the first from Adam with L2 and from torch's AdamW; of the second from torch's AdamW; of the "
        "paper's convention with lambda = eta wd from torch's AdamW",
        f"first from Adam: {short(checks['traditional_adam_is_adam'], 2)}, from AdamW: "
        f"{short(checks['traditional_adam_is_torch_adamw'], 2)}; second from AdamW: "
        f"{short(checks['eta_twice_is_torch_adamw'], 2)}; paper's: {short(checks['paper_is_torch_adamw'], 2)}",
        TRUE if first and second else PARTLY if first or second else FALSE,
        "checks.csv: traditional_adam_*, eta_twice_*, paper_*",
    )


def without_momentum(checks: Mapping[str, float]) -> Verdict:
    return Verdict(
        4,
        "With beta1 = 0 AdamW reduces to SGD with weight decay, theta <- (1 - lambda eta) theta - eta g",
        "distance of the two; the same where the denominator is held constant",
        f"{short(checks['beta1_0_is_sgd'], 2)}; {short(checks['beta1_0_constant_v_is_sgd'], 2)}",
        TRUE if checks["beta1_0_is_sgd"] < EQUAL else FALSE,
        "checks.csv: beta1_0_*",
    )


def under_momentum(checks: Mapping[str, float]) -> Verdict:
    differ = checks["sgd_momentum_l2_or_decay"] > EQUAL
    factor = abs(checks["sgd_momentum_factor"] * (1 - 0.9) - 1) < 0.05
    return Verdict(
        5,
        "Under momentum SGD, too, L2 and weight decay differ: L2 enters the moving average",
        "distance of the two at momentum 0.9; decay by L2 over lr x wd, for 1 / (1 - momentum) = 10",
        f"{short(checks['sgd_momentum_l2_or_decay'], 2)}; {number(checks['sgd_momentum_factor'])}",
        TRUE if differ and factor else PARTLY if differ else FALSE,
        "checks.csv: sgd_momentum_*",
    )


def by_hand(checks: Mapping[str, float]) -> Verdict:
    same = [checks[f"by_hand_is_{name}"] < EQUAL for name in ("torch", "optim")]
    return Verdict(
        6,
        "Decaying by hand outside the optimizer (loop over the parameter groups after backward, before step; "
        "use_wd_sched=True) is AdamW",
        "distance from torch's AdamW, and from ours with wd_convention=torch",
        f"{short(checks['by_hand_is_torch'], 2)}, {short(checks['by_hand_is_optim'], 2)}",
        TRUE if all(same) else PARTLY if any(same) else FALSE,
        "checks.csv: by_hand_*",
    )


def step_by_step(checks: Mapping[str, float]) -> Verdict:
    adam, adamw = (checks[f"linear_model_{name}"] for name in ("adam", "adamw"))
    return Verdict(
        7,
        "A hand-written Adam and AdamW agree with torch.optim step by step on a small linear model (3 inputs, loss = "
        "(sum of outputs)^2, lr 0.1, random inputs)",
        "largest difference over 100 steps: Adam, AdamW",
        f"{short(adam, 2)}, {short(adamw, 2)}",
        TRUE if max(adam, adamw) < EQUAL else FALSE,
        "checks.csv: linear_model_*",
    )
