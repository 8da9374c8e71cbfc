"""`slm-tui doctor`: checks the device, versions, paths and terminal."""

import argparse
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from slm_tui import __version__, paths
from slm_tui.commands import options as shared
from slm_tui.commands import output

_PACKAGES = ("torch", "textual", "plotext", "tiktoken", "tokenizers", "datasets", "pydantic")
# Of a logger, where it has another name.
_PACKAGE_OF = {"mlflow": "mlflow-skinny"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui doctor`."""
    shared.add_json(parser)
    parser.set_defaults(command=doctor)


def doctor(options: argparse.Namespace) -> int:
    """Print the results; returns 1 if something that training needs is missing."""
    checks = _facts()
    if options.json:
        output.say_json({name: {"ok": ok, "value": value} for name, ok, value in checks})
    else:
        for name, ok, value in checks:
            output.say(f"{'✓' if ok else '✗'} {name:16} {value}")
    needed = {"python", "torch", "data directory", "cache directory", "config directory"}
    return int(any(not ok for name, ok, _ in checks if name in needed))


def _facts() -> list[tuple[str, bool, str]]:
    checks = [
        ("slm-tui", True, __version__),
        ("python", sys.version_info >= (3, 11), platform.python_version()),
        ("system", True, f"{platform.system()} {platform.release()} {platform.machine()}"),
    ]
    checks += [_package(name) for name in _PACKAGES]
    checks += [_log(name) for name in ("tensorboard", "wandb", "mlflow")]
    checks += _devices()
    checks += [_gpt2(), _hub()]
    for label, directory in (
        ("data directory", paths.data_dir()),
        ("cache directory", paths.cache_dir()),
        ("config directory", paths.config_dir()),
    ):
        checks.append(_directory(label, directory))
    return [*checks, _terminal()]


def _package(name: str) -> tuple[str, bool, str]:
    try:
        return name, True, metadata.version(name)
    except metadata.PackageNotFoundError:
        return name, False, f"not installed: pip install {name}"


def _log(name: str) -> tuple[str, bool, str]:
    """Whether `training.log_to` can use it. W&B's login is not checked: that needs the network."""
    try:
        version = metadata.version(_PACKAGE_OF.get(name, name))
    except metadata.PackageNotFoundError:
        return name, False, f"not installed: pip install 'slm-tui[{name}]'"
    mode = os.environ.get("WANDB_MODE", "") if name == "wandb" else ""
    remark = f", WANDB_MODE={mode}" if mode else ""
    return name, True, f"{version}{remark}; enable with: --set training.log_to={name}"


def _devices() -> list[tuple[str, bool, str]]:
    try:
        import torch

        from slm_tui.corpus.parallel import cores
        from slm_tui.training import precision
        from slm_tui.training.compiled import missing_compiler
        from slm_tui.training.device import choose_device, describe_device
    except ImportError as error:
        return [("device", False, f"torch cannot be imported: {error}")]
    device = choose_device("auto")
    checks = [("device", True, f"{device.type}: {describe_device(device)}")]
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 2**30
        bf16 = "yes" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
        checks.append(("GPU memory", True, f"{memory:.1f} GiB, native bf16: {bf16}"))
        if (number := torch.cuda.device_count()) > 1:
            checks.append(("GPUs", True, f"{number}; use all: --set training.devices=0"))
    native = "yes" if precision.has_native_bf16(torch.device("cpu")) else "no"
    checks.append(("CPU", True, f"{cores()} cores for this process, native bf16: {native}"))
    how = "the same preset and seed give the same losses here, bit for bit"
    checks.append(("repeatable", True, f"{how}, unless training.adapt_threads is on"))
    missing = missing_compiler(device)
    checks.append(("torch.compile", not missing, missing or "compiler found"))
    return checks


def _gpt2() -> tuple[str, bool, str]:
    from slm_tui.corpus.tokenizers import load_gpt2
    from slm_tui.errors import SlmTuiError

    try:
        return "gpt2 vocabulary", True, f"{load_gpt2().n_vocab:,} tokens, available offline"
    except SlmTuiError as error:
        return "gpt2 vocabulary", False, str(error)


def _hub() -> tuple[str, bool, str]:
    from slm_tui.corpus.sources import network

    address = network.hub_address()
    if network.is_offline_by_choice():
        return "datasets hub", False, "not checked: HF_HUB_OFFLINE is set"
    if network.answers(address):
        return "datasets hub", True, f"{address} is reachable"
    works = "data.kind=stories, file and directory work without it"
    return "datasets hub", False, f"{address} cannot be reached; {works}"


def _directory(label: str, directory: Path) -> tuple[str, bool, str]:
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    writable = os.access(existing, os.W_OK)
    try:
        free = f"{shutil.disk_usage(existing).free / 2**30:.1f} GiB free"
    except OSError as error:
        free = str(error)
    remedy = "" if writable else " - not writable: set SLM_TUI_HOME to another directory"
    return label, writable, f"{directory} ({free}){remedy}"


def _terminal() -> tuple[str, bool, str]:
    columns, rows = shutil.get_terminal_size()
    where = [os.environ.get("TERM", "no TERM"), f"{columns}x{rows}"]
    where += ["tmux"] if os.environ.get("TMUX") else []
    where += ["over SSH"] if os.environ.get("SSH_CONNECTION") else []
    where += ["NO_COLOR"] if os.environ.get("NO_COLOR") else []
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    wrong = [
        text
        for bad, text in (
            (not sys.stdout.isatty(), "output is not a terminal"),
            (encoding != "utf8", f"the encoding is {encoding or 'unknown'}, not UTF-8"),
            (columns < 60 or rows < 20, "smaller than 60x20"),
        )
        if bad
    ]
    return "terminal", not wrong, ", ".join(where) + (f" ({'; '.join(wrong)})" if wrong else "")
