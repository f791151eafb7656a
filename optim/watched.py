"""State that knows when it was edited: `State` of a parameter, `States` of all.

An optimizer here caches what it finds in its state, and people edit that state: they reset moments, move them to
another parameter, set a count. To look at every entry before every step would cost a tenth of the step of a small
network, so the dicts say themselves that they were written to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any


class State(dict):
    """What an optimizer keeps for one parameter: a dict, for everybody who reads it, copies it or pickles it.

    `edits`: the list to which every edit adds an entry; one for all states of an optimizer.
    """

    __slots__ = ("edits",)

    def __init__(self, content: dict[str, Any], edits: list[str]) -> None:
        super().__init__(content)
        self.edits = edits

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)  # a copy is an ordinary dict, as files and other optimizers expect


class States(defaultdict):
    """The states of an optimizer, each of which begins as an empty `State` when it is first asked for."""

    __slots__ = ("edits",)

    def __init__(self, content: dict[Any, Any]) -> None:
        self.edits: list[str] = []
        super().__init__(dict, content)

    def __missing__(self, key: Any) -> State:
        self[key] = state = State({}, self.edits)
        return state

    def __reduce__(self) -> tuple[Any, ...]:
        return defaultdict, (dict,), None, None, iter(self.items())


def _watched(kind: type, name: str) -> Callable[..., Any]:
    write = getattr(kind, name)

    def edit(self: Any, *args: Any, **named: Any) -> Any:
        self.edits.append(name)
        return write(self, *args, **named)

    edit.__name__ = name
    return edit


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(State, _name, _watched(dict, _name))
    setattr(States, _name, _watched(defaultdict, _name))
