"""Runs the tests as if on other processors: other vector units, with or without bf16, more threads.

    python -m tests.processors [--list] [--only NAME]… [PYTEST-ARGUMENT]…

A combination is a set of environment variables. `NATIVE_BF16` exists only for these tests: `yes` or
`no` overrides what the processor reports. torch then computes bf16 with the instructions it has,
more slowly, with the same kind of rounding.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CAPABILITIES = ("default", "avx2", "avx512")
COMBINATIONS = {
    **{f"{name}": {"ATEN_CPU_CAPABILITY": name} for name in _CAPABILITIES},
    "bf16": {"NATIVE_BF16": "yes"},
    "no-bf16": {"NATIVE_BF16": "no"},
    "two-threads": {"OMP_NUM_THREADS": "2"},
    "four-threads": {"OMP_NUM_THREADS": "4"},
    "default-bf16-four-threads": {
        "ATEN_CPU_CAPABILITY": "default",
        "NATIVE_BF16": "yes",
        "OMP_NUM_THREADS": "4",
    },
}
# Where numbers are computed, or shown to users.
NUMERIC = ("training", "models", "generation", "evaluation", "runs", "cli", "released")


def pretend() -> None:
    """Make `has_native_bf16` return what `NATIVE_BF16` says; without it, do nothing."""
    override = os.environ.get("NATIVE_BF16")
    if override is None:
        return
    from slm_tui.training import precision

    real = precision.has_native_bf16
    precision.has_native_bf16 = lambda device: (  # type: ignore[assignment]
        override == "yes" if device.type == "cpu" else real(device)
    )


def available() -> dict[str, dict[str, str]]:
    """The combinations that this processor supports."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    has = {"default": True, "avx2": "avx2" in flags, "avx512": "avx512f" in flags}
    return {
        name: variables
        for name, variables in COMBINATIONS.items()
        if has[variables.get("ATEN_CPU_CAPABILITY", "default")]
    }


def main(arguments: list[str]) -> int:
    names, rest = [], []
    while arguments:
        word = arguments.pop(0)
        if word == "--list":
            print("\n".join(available()))
            return 0
        (names if word == "--only" else rest).append(arguments.pop(0) if word == "--only" else word)
    failed = []
    for name, variables in available().items():
        if names and name not in names:
            continue
        print(f"== {name}: {variables}", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-n", "auto", "--dist", "loadgroup"]
        command += rest or [str(ROOT / "tests" / one) for one in NUMERIC]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False)
        failed += [name] if done.returncode else []
    print(f"failed: {', '.join(failed)}" if failed else "all combinations passed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
