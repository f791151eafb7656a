"""Compiles the kernel for an H100 or H200, which needs no GPU, and prints what the code holds, as JSON.

`test_kernel_code` runs it, in a process of its own: interpreting and compiling do not mix.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from optim.cuda.kernel import BLOCK, WARPS, step

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
TABLES = {"blocks": "*i32", "tensors": "*i64", "gradients": "*i64", "rows": "*fp32"}
NUMBERS = dict.fromkeys(("length", "groups", "trials"), "i32")
CONTROLS = {"clock": "*i32", "live": "*u1", "scale": "*fp32"}


def compiled(controls: bool, constants: dict[str, Any]) -> Any:
    """The kernel as `Launch` compiles it: no argument is specialised, so no pointer has an alignment."""
    types = TABLES | NUMBERS | (CONTROLS if controls else {})
    constants = constants | ({} if controls else dict.fromkeys(CONTROLS))
    signature = {name: types.get(name, "constexpr") for name in step.arg_names}
    fixed = {(step.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=step, signature=signature, constexprs=fixed)
    options = {"num_warps": WARPS, "enable_fp_fusion": False}
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def facts(kernel: Any) -> dict[str, Any]:
    ptx = kernel.asm["ptx"]
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage = subprocess.run([TOOLS / "cuobjdump", "-res-usage", file.name], capture_output=True, text=True).stdout
        sass = subprocess.run([TOOLS / "nvdisasm", file.name], capture_output=True, text=True).stdout
    resources = {name: int(value) for name, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", usage)}
    floats = re.findall(r"^\s*(?:@\S+\s+)?((?!ld|st|mov|setp)[a-z0-9]+(?:\.[a-z0-9]+)*\.b?f(?:16|32|64)\S*)", ptx, re.M)
    vectors = re.findall(r"(ld|st)\.global\S*\.v(\d)\.b(\d+)", ptx)
    return {
        **resources,
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", sass)),
        "barriers": len(re.findall(r"\bBAR\b", sass)),
        "instructions": len(re.findall(r"^\s*/\*[0-9a-f]{4}\*/", sass, re.M)),
        "sass_wide": [len(re.findall(rf"\b{name}\.E(?:\.\w+)*\.128\b", sass)) for name in ("LDG", "STG")],
        "floats": Counter(floats),
        "vectors": Counter(f"{kind} {int(n) * int(bits) // 8}" for kind, n, bits in vectors),
        "elements": BLOCK // (32 * WARPS),
    }


def main() -> None:
    found = {}
    for adam, controls in itertools.product((True, False), repeat=2):
        name = f"{'adam' if adam else 'sgd'} {'controls' if controls else 'plain'}"
        found[name] = facts(compiled(controls, {"ADAM": adam, "BLOCK": BLOCK}))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
