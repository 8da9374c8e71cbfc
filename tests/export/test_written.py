"""What every export refuses, and that nothing incomplete stays."""

from pathlib import Path

import pytest

from slm_tui.cli import main
from slm_tui.export import huggingface
from slm_tui.export.catalog import FORMATS
from slm_tui.export.formats import _WRITERS
from tests.conftest import make_tiny
from tests.export import exported

Capture = pytest.CaptureFixture[str]


def test_every_format_of_the_catalog_has_a_writer() -> None:
    assert set(FORMATS) == {*_WRITERS, "gguf"}


def test_nothing_is_overwritten(tmp_path: Path, capsys: Capture) -> None:
    source = exported.saved(exported.with_model(), tmp_path / "checkpoints")
    for number, make in enumerate((Path.mkdir, Path.touch, lambda path: path.symlink_to("gone"))):
        target = tmp_path / f"it{number}"
        make(target)
        assert main(["export", str(source), str(target), "--format", "huggingface"]) == 1
        assert f"{target} already exists; choose another path" in capsys.readouterr().err


def test_nothing_incomplete_stays(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = exported.saved(exported.with_model(), tmp_path / "checkpoints")
    before = sorted(path.name for path in tmp_path.iterdir())
    arguments = ["export", str(source), "--format", "huggingface"]
    assert main([*arguments, str(tmp_path / "no" / "where")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface.model_card, "text", full)
    assert main([*arguments, str(tmp_path / "it")]) == 1
    assert "No space left on device; free some space on that disk" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("kind", ["hgrn", "hnet"])
def test_a_family_that_llama_cpp_lacks_is_refused(
    kind: str, tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("gguf", reason="pip install gguf")
    preset = make_tiny(model={"kind": kind, "block_size": 16})
    source = exported.saved(preset, tmp_path / "checkpoints")
    assert main(["export", str(source), str(tmp_path / "it.gguf"), "--format", "gguf"]) == 1
    error = capsys.readouterr().err
    assert f"llama.cpp does not compute {kind} models; use --format huggingface" in error
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]
