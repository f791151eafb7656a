"""Where a row comes from: the columns `version`, `commit`, `device` and `host`."""

from __future__ import annotations

import functools
import os
import platform
import re
import socket
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

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
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return ""
    call = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--exclude=*"]
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
