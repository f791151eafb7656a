"""The Triton kernel that steps any number of tensors, each of R trials, in one launch: `step`.

Only `optim.cuda.launch` starts it. Importing this file needs Triton; importing `optim` does not.

A program owns one block: at most BLOCK consecutive elements of one trial of one tensor, so that every coefficient
is a scalar. Everything is reached through tables of addresses, so gradients stay where autograd left them.

Every float operation is rounded correctly (fma, div_rn, sqrt_rn, and launched with fp fusion off): `/` and tl.sqrt
compile to approximations, which the interpreter does not show. IEEE-754 then fixes every bit, whatever runs it.
"""

# ruff: noqa: N803 -- compile-time arguments are in capitals, as everywhere in Triton

from __future__ import annotations

import triton
import triton.language as tl

from optim import rules

BLOCK = 1024  # elements a program
WARPS = 4  # with 1024 elements: 8 a thread, two 16-byte accesses to each float32 tensor

# Rows of the tables, field by field.
BLOCK_FIELDS = 5  # int32: tensor, trial, group, number of the block within the trial, elements (BLOCK or the rest)
TENSOR_FIELDS = 4  # int64: elements a trial, addresses of weights, moment 1, moment 2, all float32

_L2, _KEEP = tl.constexpr(rules.L2), tl.constexpr(rules.KEEP)
_BETA1, _RATE1 = tl.constexpr(rules.BETA1), tl.constexpr(rules.RATE1)
_BETA2, _RATE2 = tl.constexpr(rules.BETA2), tl.constexpr(rules.RATE2)
_STEP, _BIAS2, _EPS = tl.constexpr(rules.STEP), tl.constexpr(rules.BIAS2), tl.constexpr(rules.EPS)
_COLUMNS = tl.constexpr(rules.COLUMNS)
_BLOCK_FIELDS, _TENSOR_FIELDS = tl.constexpr(BLOCK_FIELDS), tl.constexpr(TENSOR_FIELDS)


@triton.jit
def _pointers(address: tl.tensor, WIDE: tl.constexpr, SIZE: tl.constexpr) -> tl.tensor:
    """SIZE pointers to float32 from `address` on. WIDE promises that 4 elements are aligned."""
    first = address.to(tl.pointer_type(tl.float32))
    if WIDE:
        first = tl.multiple_of(first, 16)
    return first + tl.arange(0, SIZE)


@triton.jit
def _update(
    weight: tl.tensor,  # the addresses of SIZE elements, int64
    gradient: tl.tensor,
    moment1: tl.tensor,
    moment2: tl.tensor,
    count: tl.tensor,  # how many of them there are; not read if WIDE
    row: tl.tensor,  # coefficient c is at row + c * trials
    trials: tl.tensor,
    factor: tl.tensor,  # or None
    ADAM: tl.constexpr,
    WIDE: tl.constexpr,
    SIZE: tl.constexpr,
) -> None:
    """Steps SIZE elements, in the order of operations of torch's fused CPU kernels."""
    mask = None
    if not WIDE:
        mask = tl.arange(0, SIZE) < count
    at_weight = _pointers(weight, WIDE, SIZE)
    at_moment1 = _pointers(moment1, WIDE, SIZE)
    g = tl.load(_pointers(gradient, WIDE, SIZE), mask)
    p = tl.load(at_weight, mask)
    m = tl.load(at_moment1, mask)
    if ADAM:
        at_moment2 = _pointers(moment2, WIDE, SIZE)
        v = tl.load(at_moment2, mask)

    # Coefficients are fetched with the data, but for the last two: held, they would cost a quarter of the registers.
    l2 = tl.load(row + _L2 * trials)
    keep = tl.load(row + _KEEP * trials)
    beta1 = tl.load(row + (_RATE1 if ADAM else _BETA1) * trials)

    if factor is not None:
        g = g * factor
    p = p * keep
    g = tl.fma(l2, p, g)
    if ADAM:
        beta2 = tl.load(row + _BETA2 * trials)
        rate2 = tl.load(row + _RATE2 * trials)
        bias2 = tl.load(row + _BIAS2 * trials)
        m = tl.fma(beta1, g - m, m)
        v = tl.fma(rate2 * g, g, beta2 * v)
        # Stored before the division, which gets their registers: more blocks fit.
        tl.store(at_moment1, m, mask)
        tl.store(at_moment2, v, mask)
        root = tl.div_rn(tl.sqrt_rn(v), bias2) + tl.load(row + _EPS * trials)
        p = p - tl.div_rn(tl.load(row + _STEP * trials) * m, root)
    else:
        m = beta1 * m + g
        tl.store(at_moment1, m, mask)
        p = tl.fma(-tl.load(row + _STEP * trials), m, p)
    tl.store(at_weight, p, mask)


# Nothing is specialised on a run-time argument: a table sliced at an odd address must not mean another compilation.
_ARGUMENTS = ["blocks", "tensors", "gradients", "rows", "clock", "live", "scale", "length", "groups", "trials"]


@triton.jit(do_not_specialize=_ARGUMENTS, do_not_specialize_on_alignment=_ARGUMENTS)
def step(
    blocks: tl.tensor,  # int32 [blocks, BLOCK_FIELDS]
    tensors: tl.tensor,  # int64 [tensors, TENSOR_FIELDS]
    gradients: tl.tensor,  # int64 [tensors]: addresses; 0 leaves the tensor alone
    rows: tl.tensor,  # float32 [length, groups, COLUMNS, trials]
    clock: tl.tensor,  # int32 [1]: the row of all trials; None: row 0
    live: tl.tensor,  # bool [trials]; None: all
    scale: tl.tensor,  # float32 [trials], multiplies the gradients; None: 1
    length: tl.tensor,
    groups: tl.tensor,
    trials: tl.tensor,
    ADAM: tl.constexpr,  # else SGD
    BLOCK: tl.constexpr,
) -> None:
    entry = blocks + tl.program_id(0) * _BLOCK_FIELDS
    tensor = tl.load(entry)
    trial = tl.load(entry + 1)
    group = tl.load(entry + 2)
    number = tl.load(entry + 3)
    count = tl.load(entry + 4)

    gradient = tl.load(gradients + tensor)
    facts = tensors + tensor * _TENSOR_FIELDS
    start = trial * tl.load(facts) + number.to(tl.int64) * BLOCK
    weight = tl.load(facts + 1) + start * 4
    moment1 = tl.load(facts + 2) + start * 4
    moment2 = tl.load(facts + 3) + start * 4

    active = gradient != 0
    if live is not None:
        active = active & (tl.load(live + trial) != 0)
    index = 0
    if clock is not None:
        index = tl.load(clock)
        active = active & (index >= 0) & (index < length)  # past the table all trials rest
    if not active:
        return  # nothing is loaded, so nothing of a frozen trial matters

    row = rows + (tl.cast(index, tl.int64) * groups + group) * _COLUMNS * trials + trial
    factor = None
    if scale is not None:
        factor = tl.load(scale + trial)

    gradient += start * 4
    addresses = weight | gradient | moment1
    if ADAM:
        addresses |= moment2
    if (count == BLOCK) & ((addresses & 15) == 0):
        at = weight, gradient, moment1, moment2
        _update(*at, count, row, trials, factor, ADAM, True, BLOCK)
    else:
        # In halves: the compiler gives accesses of one shape one width, so this shape must not be the wide one's.
        for i in range(0, BLOCK, BLOCK // 2):
            if i < count:
                at = weight + i * 4, gradient + i * 4, moment1 + i * 4, moment2 + i * 4
                _update(*at, count - i, row, trials, factor, ADAM, False, BLOCK // 2)
