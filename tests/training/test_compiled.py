"""torch.compile: the same losses if it works, a notice if it cannot, and unused if it does not
pay."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.preset import Preset
from tests import extent
from tests.conftest import make_tiny
from tests.training.forks import run
from tests.training.harness import train

Make = Callable[..., Preset]
needs_compiler = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++", "c++")),
    reason="there is no C++ compiler",
)


def trained(path: str, home: Path, **changes: Any) -> Any:
    os.environ["PATH"] = path
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(home / "inductor")
    done = train(make_tiny(**changes), home / "run")
    return done.losses, done.warnings, done.reason, done.trainer._stepper.forward.is_compiled


def compiled(path: str, home: Path, changes: dict[str, Any]) -> Any:
    return trained(path, home, **changes, training__compile="on")


@extent.only_in_all
@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_compiled_run_has_the_losses_of_an_uncompiled_one(
    tiny: Make, tmp_path: Path, home: Path
) -> None:
    changes = {"training__max_steps": 6}
    result, warnings, reason, is_compiled = run(compiled, home, os.environ["PATH"], home, changes)
    plain = train(tiny(**changes), tmp_path / "plain")
    assert (reason, warnings, is_compiled) == ("done", [], True)
    assert result == pytest.approx(plain.losses, rel=1e-3)


def test_without_a_compiler_training_continues_with_a_notice(
    tiny: Make, tmp_path: Path, home: Path
) -> None:
    result, warnings, reason, is_compiled = run(compiled, home, "", home, {})
    assert (reason, is_compiled) == ("done", False)
    assert warnings == ["not compiled: no C++ compiler found (such as g++)"]
    assert result == train(tiny(), tmp_path / "plain").losses


@extent.only_in_all
def test_a_failing_compiler_is_a_notice_too(tiny: Make, tmp_path: Path, home: Path) -> None:
    places = tmp_path / "bin"
    places.mkdir()
    for name in ("g++", "clang++", "c++"):
        (places / name).write_text("#!/bin/sh\nexit 1\n")
        (places / name).chmod(0o755)
    # A compiled kernel cached by another test would need no compiler.
    changes = {"model__n_embd": 24, "training__max_steps": 4}
    result, warnings, reason, is_compiled = run(
        compiled, home, f"{places}:/usr/bin:/bin", home, changes
    )
    assert (reason, is_compiled) == ("done", False)
    (warning,) = warnings
    assert warning.startswith("compiling failed (")
    assert result == train(tiny(**changes), tmp_path / "plain").losses


def test_a_short_run_is_never_compiled_by_auto(tiny: Make, tmp_path: Path) -> None:
    auto = train(tiny(training__compile="auto", training__max_steps=40), tmp_path / "auto")
    plain = train(tiny(training__max_steps=40), tmp_path / "plain")
    assert not auto.trainer._stepper.forward.is_compiled
    assert auto.warnings == []
    assert auto.losses == plain.losses
