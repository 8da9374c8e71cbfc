"""Import rules of the packages."""

import ast
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from slm_tui.cli import COMMANDS
from tests import limits
from tests.tui.made_runs import add_run

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "slm_tui"
HEAVY = ("torch", "numpy", "tiktoken", "tokenizers", "datasets", "textual", "plotext", "rich")


def loaded_by(code: str) -> set[str]:
    """Top-level modules loaded after running `code` in a fresh interpreter."""
    script = f"import sys\n{code}\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = limits.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def test_config_imports_nothing_heavy() -> None:
    names = sorted(path.stem for path in (PACKAGE / "config").glob("*.py"))
    code = "\n".join(f"import slm_tui.config.{name}" for name in names if name != "__init__")
    assert not loaded_by(code + "\nslm_tui.config.library.entries()") & set(HEAVY)


def test_the_version_imports_nothing_heavy() -> None:
    code = (
        "from slm_tui.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert not loaded_by(code) & {*HEAVY, "pydantic"}


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_the_help_of_a_command_imports_nothing_heavy(name: str) -> None:
    code = (
        "from slm_tui.cli import main\n"
        f"try:\n    main(['{name}', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert not loaded_by(code) & {*HEAVY, "pydantic"}


def test_the_help_of_the_program_imports_no_command() -> None:
    script = (
        "import sys\nfrom slm_tui.cli import COMMANDS, main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "names = {f'slm_tui.commands.{module}' for _, module, _ in COMMANDS}\n"
        "assert not names & set(sys.modules)"
    )
    limits.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT)


def test_listing_presets_and_runs_imports_no_torch() -> None:
    code = "from slm_tui.cli import main\nmain(['presets', 'list'])\nmain(['runs', 'list'])"
    assert not loaded_by(code) & {"torch", "textual", "tokenizers", "datasets"}


def test_training_imports_no_screen() -> None:
    code = "import slm_tui.live.session, slm_tui.training.trainer, slm_tui.commands.train"
    assert not loaded_by(code) & {"textual", "plotext", "rich"}


@cache
def imports_of(path: Path) -> set[str]:
    """Modules that the file imports anywhere, including inside functions."""
    result = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            result |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            result.add(node.module)
            result |= {f"{node.module}.{name.name}" for name in node.names}
    return result


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_only_the_tui_knows_textual(path: Path) -> None:
    inside = path.relative_to(PACKAGE).parts[0] == "tui"
    tops = {name.split(".")[0] for name in imports_of(path)}
    assert inside or not tops & {"textual", "rich", "plotext"}


def _layers() -> list[set[str]]:
    """The layers of the import contract in `pyproject.toml`, highest first."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    lines = next(one["layers"] for one in contracts if one["type"] == "layers")
    return [{name.strip().split(".")[1] for name in line.split("|")} for line in lines]


LAYERS = _layers()


def test_every_package_is_in_a_layer() -> None:
    layered = set().union(*LAYERS)
    result = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or _is_package(path)}
    assert result - {"__init__", "__main__"} <= layered


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").exists()


def layer_of(module: str) -> int | None:
    parts = module.split(".")
    if parts[0] != "slm_tui" or len(parts) < 2:
        return None
    return next((at for at, names in enumerate(LAYERS) if parts[1] in names), None)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_down_only(path: Path) -> None:
    module = ".".join(("slm_tui", *path.relative_to(PACKAGE).with_suffix("").parts))
    own = layer_of(module)
    for name in imports_of(path):
        other = layer_of(name)
        assert own is None or other is None or own <= other, f"{module} imports {name}"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_there_is_no_pickle(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert "pickle" not in {name.split(".")[0] for name in imports_of(path)}
    assert "torch.load(" not in text
    assert "torch.save(" not in text


def test_the_modules_of_the_tui_have_no_import_cycles() -> None:
    """Imports inside functions and for type checking count too."""
    graph: dict[str, set[str]] = {}
    for path in sorted((PACKAGE / "tui").rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        graph[module] = imports_of(path)
    inside = {name: imported & graph.keys() for name, imported in graph.items()}
    TopologicalSorter(inside).prepare()  # raises CycleError


LISTING = """
import sys
from slm_tui.live.run_scanner import RunScanner
from slm_tui.runs import store
from slm_tui.training import checkpoint_dir
for run in store.all_runs():
    run.info()
    checkpoint_dir.all_in(run.checkpoints)
    store.checkpoint_of(run)
assert "torch" not in sys.modules, "torch was imported"
"""


def test_listing_runs_and_checkpoints_imports_no_torch() -> None:
    add_run("listed", checkpoints=[10, 20], best=10)
    limits.run([sys.executable, "-c", LISTING], check=True, cwd=ROOT)
