"""State that knows when it was edited: `State` of a parameter, `States` of all, `Marks` that they share.

An optimizer here caches the tensors of its state, and people edit that state: they reset moments, move them to another
parameter, set a count. Looking at every entry before every step would cost a tenth of the step of a small network. So
the dicts count how often they were written to, and how often read, for who has read a tensor may give it other data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.utils._pytree import register_pytree_node


@dataclass(slots=True)
class Marks:
    """How often the states of an optimizer were written to, and read."""

    edits: int = 0
    reads: int = 0


class State(dict):
    """What an optimizer keeps for one parameter: a dict, for everybody who reads it, copies it or pickles it."""

    __slots__ = ("marks",)

    def __init__(self, content: Any = (), marks: Marks | None = None) -> None:
        """`content`: as a dict takes it. Without `marks`: made by a tool of another, as `type(state)({...})`."""
        super().__init__(content)
        self.marks = marks or Marks()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy is an ordinary dict, as files and other optimizers expect


class States(defaultdict):
    """The states of an optimizer, each of which begins as an empty `State` when it is first asked for."""

    __slots__ = ("marks",)

    def __init__(self, *content: Any) -> None:
        """`content`: as a defaultdict takes it, of which only a dict at the end is read: missing ones are `State`s."""
        self.marks = Marks()
        super().__init__(dict, *(some for some in content[-1:] if some is not dict))

    def __missing__(self, key: Any) -> State:
        self[key] = state = State({}, self.marks)
        return state

    def __reduce__(self) -> tuple[Any, ...]:
        return defaultdict, (dict,), None, None, iter(self.items())


def _counting(mark: str, kind: type, name: str) -> Callable[..., Any]:
    """The method `name` of `kind`, which adds 1 to this mark first."""
    method = getattr(kind, name)

    def counted(self: Any, *args: Any, **named: Any) -> Any:
        setattr(self.marks, mark, getattr(self.marks, mark) + 1)
        return method(self, *args, **named)

    counted.__name__ = name
    return counted


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(State, _name, _counting("edits", dict, _name))
    setattr(States, _name, _counting("edits", defaultdict, _name))
for _name in ("__getitem__", "__iter__", "get", "items", "values", "copy"):  # dict(state) goes by __iter__
    setattr(State, _name, _counting("reads", dict, _name))
# Tools that map a function over all tensors in nested dicts (torch's pytree) know exact types only, no subclasses.
for _kind in (State, States):
    register_pytree_node(
        _kind, lambda d: (list(d.values()), list(d)), lambda values, keys: dict(zip(keys, values, strict=True))
    )
