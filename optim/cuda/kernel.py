"""The Triton kernel that steps any number of tensors, each of R trials, in one launch: `step`.

Only `optim.cuda.launch` starts it. Importing this file needs Triton; importing `optim` does not.

A program owns one block: at most BLOCK consecutive elements of one trial of one tensor, so that every coefficient is a
scalar. All tensors are reached through tables of addresses, so gradients stay where autograd left them.

Every float operation is rounded correctly: fma, div_rn and sqrt_rn, and fp fusion is off at the launch. `/` and tl.sqrt
would compile to approximations, and Triton's interpreter would not show it. IEEE-754 then fixes every bit of a step,
whatever device runs it.
"""

# ruff: noqa: N803 -- compile-time arguments are in capitals, as everywhere in Triton

from __future__ import annotations

import triton
import triton.language as tl

from optim import rules

BLOCK = 1024  # elements of a program
WARPS = 4  # 128 threads: 8 elements each, which is two 16-byte accesses to each float32 tensor

# The fields of a row of each table.
BLOCK_FIELDS = 5  # int32: tensor, trial, group, number of the block within the trial, elements (BLOCK, or what is left)
TENSOR_FIELDS = 4  # int64: elements of a trial; addresses of weights, moment 1 and moment 2, all float32

_L2, _KEEP = tl.constexpr(rules.L2), tl.constexpr(rules.KEEP)
_BETA1, _RATE1 = tl.constexpr(rules.BETA1), tl.constexpr(rules.RATE1)
_BETA2, _RATE2 = tl.constexpr(rules.BETA2), tl.constexpr(rules.RATE2)
_STEP, _BIAS2, _EPS = tl.constexpr(rules.STEP), tl.constexpr(rules.BIAS2), tl.constexpr(rules.EPS)
_COLUMNS = tl.constexpr(rules.COLUMNS)
_BLOCK_FIELDS, _TENSOR_FIELDS = tl.constexpr(BLOCK_FIELDS), tl.constexpr(TENSOR_FIELDS)


@triton.jit
def _pointers(address: tl.tensor, WIDE: tl.constexpr, SIZE: tl.constexpr) -> tl.tensor:
    """SIZE pointers to float32 from `address` on. WIDE promises that `address` is a multiple of 16 bytes."""
    first = address.to(tl.pointer_type(tl.float32))
    if WIDE:  # the compiler then makes accesses of 4 elements
        first = tl.multiple_of(first, 16)
    return first + tl.arange(0, SIZE)


@triton.jit
def _update(
    weight: tl.tensor,  # int64: the address of the first of SIZE weights
    gradient: tl.tensor,  # int64: of their gradients
    moment1: tl.tensor,  # int64: of their first moments, or SGD's momentum
    moment2: tl.tensor,  # int64: of their second moments; not read by SGD
    count: tl.tensor,  # how many of the SIZE elements there are; not read if WIDE, for then there are all
    row: tl.tensor,  # pointer to the trial's coefficients: coefficient c is at row + c * trials
    trials: tl.tensor,
    factor: tl.tensor,  # float32: multiplies the gradients; None: 1
    ADAM: tl.constexpr,  # else SGD
    WIDE: tl.constexpr,  # whether all elements are there and every address is a multiple of 16
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

    # Coefficients are loaded with the data, but for STEP and EPS: held all the time, these two would take a quarter of
    # the registers.
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
        # Stored before the division, which then gets their registers: so more blocks fit on a multiprocessor.
        tl.store(at_moment1, m, mask)
        tl.store(at_moment2, v, mask)
        root = tl.div_rn(tl.sqrt_rn(v), bias2) + tl.load(row + _EPS * trials)
        p = p - tl.div_rn(tl.load(row + _STEP * trials) * m, root)
    else:
        m = beta1 * m + g
        tl.store(at_moment1, m, mask)
        p = tl.fma(-tl.load(row + _STEP * trials), m, p)
    tl.store(at_weight, p, mask)


# Triton must not compile variants by the alignment or value of these: a table sliced at an odd address would be one,
# and under capture nothing can be compiled.
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
    """Steps one block; the grid is one program for each row of `blocks`.

    `length`, `groups` and `trials` are the sizes of the axes of `rows`. BLOCK: the elements of a whole block.
    """
    entry = blocks + tl.program_id(0) * _BLOCK_FIELDS
    tensor = tl.load(entry)
    trial = tl.load(entry + 1)
    group = tl.load(entry + 2)
    number = tl.load(entry + 3)
    count = tl.load(entry + 4)

    gradient = tl.load(gradients + tensor)
    facts = tensors + tensor * _TENSOR_FIELDS
    start = trial * tl.load(facts) + number.to(tl.int64) * BLOCK  # the block's first element within the tensor
    weight = tl.load(facts + 1) + start * 4
    moment1 = tl.load(facts + 2) + start * 4
    moment2 = tl.load(facts + 3) + start * 4

    active = gradient != 0
    if live is not None:
        active = active & (tl.load(live + trial) != 0)
    index = 0
    if clock is not None:
        index = tl.load(clock)
        active = active & (index >= 0) & (index < length)  # outside the table all trials rest
    if not active:
        return  # no number of a frozen trial was loaded, so none can matter

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
        # In halves, because the compiler gives all accesses of one shape the same width: with the shape of the wide
        # branch these would be wide too, and fault at an odd address.
        for i in range(0, BLOCK, BLOCK // 2):
            if i < count:
                at = weight + i * 4, gradient + i * 4, moment1 + i * 4, moment2 + i * 4
                _update(*at, count - i, row, trials, factor, ADAM, False, BLOCK // 2)
