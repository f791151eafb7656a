"""Every row says where it was made: the processor and its instruction set, or the GPU, and the machine's name."""

from __future__ import annotations

import platform
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from runner.execution import provenance
from runner.records.read import read
from tests.damage import QUICK, check_went_on, command

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R)  Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu sse4_1 avx2 avx512f amx_bf16 amx_tile amx_int8
"""
HIDDEN = "cpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Processor\nstepping\t: 8\nflags: avx2\n"
AMD = "model name\t: AMD EPYC 9B14\nflags\t\t: fpu avx2 avx512f avx512_bf16\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd sve i8mm\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What is known of the processor is asked again, and forgotten after."""
    provenance.processor.cache_clear()
    yield
    provenance.processor.cache_clear()


def machine(monkeypatch: pytest.MonkeyPatch, cpuinfo: str, **commands: str) -> None:
    """A machine with this /proc/cpuinfo, on which these commands print this."""
    monkeypatch.setattr(provenance, "_read", lambda path: cpuinfo)
    monkeypatch.setattr(provenance, "_said", lambda call: commands.get(call[0], ""))
    for name in provenance._LIMITS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("cpuinfo", "commands", "capability", "device"),
    [
        (AMD, {}, "AVX512", "cpu: AMD EPYC 9B14, avx512"),
        (AMD, {}, "DEFAULT", "cpu: AMD EPYC 9B14, default"),
        (INTEL, {}, "AVX512", "cpu: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, avx512 amx"),
        (HIDDEN, {}, "AVX2", "cpu: Intel(R) Xeon(R) Processor (cpu family 6 model 143 stepping 8), avx2"),
        (ARM, {"lscpu": "Vendor ID:   ARM\nModel name:  Neoverse-V1\n"}, "SVE256", "cpu: Neoverse-V1, sve256 sve"),
        ("", {"sysctl": "Apple M2 Pro\n"}, "DEFAULT", "cpu: Apple M2 Pro, default"),
    ],
)
def test_a_cpu_is_named_with_the_instruction_set_that_torch_uses(
    cpuinfo: str, commands: dict[str, str], capability: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cpuinfo, **commands)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert provenance.device(torch.device("cpu")) == device


@pytest.mark.parametrize("cpuinfo", ["", "model name\t: \nstepping\t: 2\nflags\t\t: \nbugs\t\t: amx_tile\n"])
def test_a_processor_that_nobody_names_is_called_unknown(cpuinfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cpuinfo, lscpu="Model name:\nModel:  1\n")
    assert provenance.processor() == f"unknown {platform.machine()} processor"
    assert provenance.instructions("AVX2") == "avx2"


def test_what_the_environment_rules_out_is_part_of_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, AMD)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    monkeypatch.setenv("DNNL_DEFAULT_FPMATH_MODE", "BF16")
    assert provenance.instructions("AVX512") == "avx512 ONEDNN_MAX_CPU_ISA=SSE41 DNNL_DEFAULT_FPMATH_MODE=BF16"


def test_a_gpu_is_named_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert provenance.device(torch.device("cuda:0")) == "NVIDIA H100 80GB HBM3"


def test_a_command_that_is_not_there_or_fails_says_nothing() -> None:
    assert provenance._said(["no-such-command-here"]) == ""
    assert provenance._said(["false"]) == ""


@pytest.mark.parametrize(("typed", "name"), [((), socket.gethostname()), (("record_host=false",), "")])
def test_a_row_names_its_machine_unless_it_is_told_not_to(typed: tuple[str, ...], name: str, tmp_path: Path) -> None:
    check_went_on(command(tmp_path, *QUICK, *typed))
    row = read(tmp_path / "results" / "s").iloc[0]
    assert row["host"] == name
    assert row["device"] == provenance.device(torch.device("cpu"))
    assert name or socket.gethostname() not in row.to_list()
