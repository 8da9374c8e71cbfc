"""Shared by all tests: a home of their own, and presets that train in a fraction of a second."""

import gc
import os

# Hundreds of processes are started: each reads what the first one compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Before torch is loaded: these models are too small to benefit from two threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Several tests run side by side: a thread that waits for another leaves its core to them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from tests import css_cache, extent, processors

processors.pretend()
css_cache.share()
# A shell that runs the tests in the background, or nohup, makes them and their children ignore
# these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The same examples in every run; HYPOTHESIS_PROFILE=search tries others.
settings.register_profile("same", derandomize=True, max_examples=extent.of(40, 100))
settings.register_profile("search")
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_xdist_auto_num_workers() -> int:
    """The number of workers for `-n auto`: most tests of screens wait, and leave their core to
    others."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if out := extent.left_out(items):
        config.hook.pytest_deselected(items=out)
        gone = set(out)
        items[:] = [item for item in items if item not in gone]


def pytest_collection_finish() -> None:
    """Collect garbage less often, and leave out what the tests import: collections took a fifth of
    the time of tests of screens."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 10)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new SLM_TUI_HOME; torch uses as many threads afterwards as before."""
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else int(os.environ["OMP_NUM_THREADS"])
    yield tmp_path
    # A test that makes files unreadable must not leave damaged presets to the next one.
    if any(entry.preset is None for entry in library._builtin()):
        library._shipped.cache_clear()
    torch = sys.modules.get("torch")
    if torch and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the mark `pictures`, runs draw none when they end: each takes half a second."""
    if not request.node.get_closest_marker("pictures"):
        monkeypatch.setattr("slm_tui.runs.results.has_matplotlib", lambda: False)


def tiny_values(**changes: Any) -> dict[str, Any]:
    """A preset as plain values: 40 stories, bytes, 16 channels; `section__name=value` changes."""
    values: dict[str, Any] = {
        "name": "tiny",
        "data": {
            "kind": "stories",
            "richness": "tiny",
            "documents": 40,
            "limit": {},
            "split": {"validation": 0.1},
        },
        "tokenizer": {"kind": "bytes"},
        "model": {
            "kind": "gpt",
            "n_layer": 1,
            "n_head": 2,
            "n_embd": 16,
            "block_size": 16,
            "dropout": 0.0,
        },
        "optimizer": {"learning_rate": 0.01},
        "schedule": {"kind": "linear", "warmup_steps": 2, "minimum_ratio": 0.1},
        "training": {
            "max_steps": 12,
            "micro_batch": 4,
            "threads": 1,
            "device": "cpu",
            "evaluate_every": 5,
            "evaluate_batches": 2,
            "sample_every": 6,
            "checkpoint_every": 4,
        },
        "sampling": {"prompts": ["Once"], "max_tokens": 5},
    }
    for path, value in changes.items():
        section, _, name = path.partition("__")
        if name:
            values[section][name] = value
        else:
            values[section] = value
    return values


def make_tiny(**changes: Any) -> Preset:
    """The preset made of `tiny_values`."""
    return parse(tiny_values(**changes), "the tiny preset")


@pytest.fixture
def tiny() -> Callable[..., Preset]:
    """Makes small presets: `tiny(training__max_steps=5)`."""
    return make_tiny
