"""Where a row comes from: its columns `version`, `commit`, `code`, `device` and `host`.

`fingerprint()` is the column `code`: a hash of the files that can change a result, which are the optimizer package and
this one's models, data, training and trials. Comments, docstrings and empty lines do not count, so that an edit of the
text alone, which is a commit like any other, does not make another code.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from runner.system.place import ROOT

if TYPE_CHECKING:
    import pandas as pd
    import torch

PLACES = (
    "optim",
    "runner/config/schedules.py",
    "runner/data",
    "runner/models",
    "runner/training",
    "runner/trials/stack_size.py",
    "runner/trials/trial.py",
)
# What makes the libraries below torch choose other kernels, and so other bits, on one and the same processor.
_LIMITS = (
    *(f"{library}_{limit}" for library in ("ONEDNN", "DNNL") for limit in ("MAX_CPU_ISA", "DEFAULT_FPMATH_MODE")),
    *("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
)
UNKNOWN = "unknown"  # a processor of which nobody says what it is: others may be called the same
_EXTENSIONS = ("amx_tile", "sve2", "sve", "asimd")  # as Linux calls them, the most capable first
_SHORT = {"amx_tile": "amx", "asimd": "neon"}


def version() -> str:
    """The version of the installed package; empty where it is not installed."""
    try:
        return metadata.version("adamw-runner")
    except metadata.PackageNotFoundError:
        return ""


def commit() -> str:
    """The short commit of the checkout this code runs from, with `+` if it has been changed since; else empty."""
    if not (ROOT / ".git").exists():
        return ""
    call = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    return _said(call).strip()


def host() -> str:
    """The name of this machine in its network."""
    return socket.gethostname()


def device(kind: torch.device) -> str:
    """What trains on a device of this kind, for the column `device`: rows of equal ones can be compared to the bit.

    A GPU by its name. A CPU by its processor and the instruction set that torch uses there, which decide the kernels:
    `cpu: AMD EPYC 9B14, avx512`.
    """
    import torch

    if kind.type == "cuda":
        return torch.cuda.get_device_name(kind)
    return f"cpu: {processor()}, {instructions(torch.backends.cpu.get_cpu_capability())}"


@functools.cache
def processor() -> str:
    """The model of this machine's processor, as its maker calls it."""
    sources = (
        lambda: _field("model name", _read("/proc/cpuinfo")),
        lambda: _field("Model name", _said(["lscpu"])),  # Arm processors: /proc/cpuinfo has numbers only
        lambda: _said(["sysctl", "-n", "machdep.cpu.brand_string"]),  # macOS
    )
    found = (" ".join(source().split()) for source in sources)
    name = next(
        (name for name in found if name not in ("", "-", "unknown")), f"{UNKNOWN} {platform.machine()} processor"
    )
    # A virtual machine may hide the model, and its numbers are then what tells two processors apart.
    numbers = {word: _field(word, _read("/proc/cpuinfo")) for word in ("cpu family", "model", "stepping")}
    if re.search(r"\d", name) or not all(numbers.values()):
        return name
    return f"{name} ({' '.join(f'{word} {number}' for word, number in numbers.items())})"


def instructions(capability: str) -> str:
    """The instruction set that torch's kernels use, with what else the processor has and what the environment forbids.

    Args:
        capability: what `torch.backends.cpu.get_cpu_capability()` says, which ATEN_CPU_CAPABILITY can lower.
    """
    flags = set(_field("(?:flags|Features)", _read("/proc/cpuinfo")).split())
    more = next((f" {_SHORT.get(name, name)}" for name in _EXTENSIONS if name in flags), "")
    limits = "".join(f" {name}={os.environ[name]}" for name in _LIMITS if os.environ.get(name))
    return f"{capability.lower().replace(' ', '_')}{more}{limits}"


def _field(name: str, text: str) -> str:
    found = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:  # no Linux
        return ""


def _said(call: list[str]) -> str:
    """What a command prints; nothing where there is no such command or it fails."""
    try:
        # GIT_DIR and the like, which are set in hooks, name another repository.
        stray = {key for key in os.environ if key.startswith("GIT_") and not key.startswith("GIT_CONFIG")}
        environment = {key: os.environ[key] for key in os.environ.keys() - stray} | {"LC_ALL": "C"}
        return subprocess.run(call, capture_output=True, text=True, timeout=60, check=True, env=environment).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""


@functools.cache
def fingerprint() -> str:
    """Ten hexadecimal digits; empty where the source files are not there to be read."""
    return of(ROOT)


def of(root: Path) -> str:
    """The fingerprint of the packages in the folder `root`."""
    total = hashlib.sha256()
    files = sorted((path.relative_to(root).as_posix(), path) for place in PLACES for path in _sources(root / place))
    try:
        for name, path in files:
            total.update(f"{name}\0{bare(path.read_text(encoding='utf-8'))}\0".encode())
    except (OSError, ValueError, SyntaxError):
        return ""
    return total.hexdigest()[:10] if files else ""


# A comment, or a string that may hold what looks like one; the longer quotes first.
_WORD = re.compile(
    r"""#[^\n]*|\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL
)


def bare(source: str) -> str:
    """Python source without comments, docstrings and empty lines; the rest as it is written."""
    # This is done at every start: by one expression, and statements alone, in half the time of tokens and all nodes.
    lines = _WORD.sub(lambda found: "" if found[0][0] == "#" else found[0], source).splitlines()
    for node in _blocks(ast.parse(source)):
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            for row in range(first.lineno - 1, first.end_lineno or first.lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _blocks(tree: ast.Module) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """What can have a docstring: the module, its classes and functions, and those within any of their statements."""
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, field, ())
            left.extend(inner if isinstance(inner, list) else ())


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))


def of_other_code(rows: pd.DataFrame) -> str:
    """One line about those `rows` of trials.csv that were made by other code than runs; empty if there are none."""
    own = fingerprint()
    other = rows[rows["code"] != own]
    if not own or other.empty:
        return ""
    kinds = other.groupby(["version", "commit", "code"], sort=True).size().sort_values(ascending=False, kind="stable")
    version, commit, code = kinds.index[0]
    named = [
        f"version {version}" if version else "",
        f"commit {commit}" if commit else "",
        f"code {code or 'not on record'}",
    ]
    more = f" and {len(kinds) - 1} more" if len(kinds) > 1 else ""
    return (
        f"{len(other)} of {len(rows)} rows were made by other code ({', '.join(filter(None, named))}{more}) than this "
        f"(code {own}): they count as they are; resume=false trains them again"
    )
