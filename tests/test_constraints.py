"""`constraints.txt`: a pin for every dependency, from PyPI, without CUDA-only packages."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LINES = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [Requirement(line.partition("#")[0]) for line in LINES if line.partition("#")[0].strip()]
PYTHONS = ("3.11", "3.12", "3.13")


def declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(one) for group in (project["dependencies"], *extras) for one in group]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_has_one_pin_that_it_accepts(python: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    for dependency in declared():
        name = canonicalize_name(dependency.name)
        pins = [one for one in PINS if canonicalize_name(one.name) == name]
        (pin,) = (one for one in pins if one.marker is None or one.marker.evaluate(here))
        (exact,) = pin.specifier
        assert exact.operator == "=="
        assert dependency.specifier.contains(exact.version), f"{dependency}: run `make lock`"


def test_torch_is_pinned_to_the_release_in_the_makefile() -> None:
    named = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert named is not None
    assert [str(one) for one in PINS if one.name == "torch"] == [f"torch=={named[1]}"]


def test_no_package_has_another_origin_or_is_only_for_cuda() -> None:
    assert [str(one) for one in PINS if one.url] == []
    assert [line for line in LINES if "://" in line or line.startswith("-")] == []
    assert [one.name for one in PINS if one.name.startswith(("nvidia", "cuda", "triton"))] == []
