"""Imports run one way: a room of the code imports from those before it in ORDER, no module from itself by a detour."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ORDER = (
    "optim runner.errors runner.fields runner.system runner.data runner.models runner.config runner.records "
    "runner.trials runner.analysis runner.training runner.execution runner.claims runner.report runner.finalists "
    "runner.refine runner.replication runner.protocol_checks "
    "runner.dry_run runner.study runner.cli runner.rerun runner.folklore runner.__main__"
).split()
# What these import at the top, by themselves or through others, takes no part in the second that torch takes.
LIGHT = ("config", "trials", "records", "analysis", "cli")
HEAVY = {"torch", "torchvision", "matplotlib", "sklearn"}


def sources() -> dict[str, Path]:
    """The file of each module of both packages."""
    paths = [path for package in ("optim", "runner") for path in sorted((ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


SOURCES = sources()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """The modules that import statements name: ours in full, of others the package."""
    for node in nodes:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name not in SOURCES and "." in name:
                name = name.rpartition(".")[0]
            yield name


def at_the_top(tree: ast.Module) -> Iterator[ast.AST]:
    """The statements that run when a module is imported, but for those under `if TYPE_CHECKING`."""
    for node in tree.body:
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            yield from ast.walk(node) if isinstance(node, ast.If | ast.Try) else [node]


def room(module: str) -> str:
    """The entry of ORDER that a module belongs to; the package `runner` itself only puts its code on the path."""
    return next((name for name in ORDER if f"{module}.".startswith(f"{name}.")), "")


def test_every_module_has_a_room() -> None:
    assert [name for name in SOURCES if not room(name)] == ["runner"]


@pytest.mark.parametrize("module", [name for name in SOURCES if room(name)])
def test_no_module_imports_from_a_room_above_its_own(module: str) -> None:
    rooms = {name: room(name) for name in imported(ast.walk(TREES[module])) if name in SOURCES and name != "runner"}
    assert {name: at for name, at in rooms.items() if ORDER.index(at) > ORDER.index(room(module))} == {}


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = {name: {other for other in imported(ast.walk(tree)) if other in SOURCES} for name, tree in TREES.items()}
    order = list(TopologicalSorter(graph).static_order())  # a circle raises CycleError, which names its modules
    assert set(order) == set(graph)


@pytest.mark.parametrize("name", LIGHT)
def test_fast_rooms_import_nothing_slow_at_the_top(name: str) -> None:
    begun, slow = [module for module in SOURCES if module.startswith(f"runner.{name}.")], set[tuple[str, str]]()
    assert begun
    seen = set(begun)
    while begun:
        module = begun.pop()
        for other in imported(at_the_top(TREES[module])):
            if other in SOURCES and other not in seen:
                seen.add(other)
                begun.append(other)
            elif other.partition(".")[0] in HEAVY:
                slow.add((module, other))
    assert slow == set()
