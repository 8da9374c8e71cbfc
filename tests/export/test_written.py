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


def test_a_family_that_only_slm_tui_computes_is_refused(tmp_path: Path, capsys: Capture) -> None:
    model = {"kind": "hgrn", "n_layer": 1, "n_embd": 16, "block_size": 16}
    source = exported.saved(make_tiny(model=model), tmp_path / "checkpoints")
    assert main(["export", str(source), str(tmp_path / "it"), "--format", "huggingface"]) == 1
    error = capsys.readouterr().err
    assert "its model is hgrn, which only slm-tui computes" in error
    assert "use --format ternary" in error


@pytest.mark.parametrize("settings", [{"value_embeddings": True}, {"ngram_order": 2}])
@pytest.mark.parametrize("kind", ["huggingface", "gguf"])
def test_embeddings_that_only_slm_tui_knows_are_refused(
    tmp_path: Path, capsys: Capture, settings: dict[str, object], kind: str
) -> None:
    source = exported.saved(exported.with_model(**settings), tmp_path / "checkpoints")
    assert main(["export", str(source), str(tmp_path / "it.gguf"), "--format", kind]) == 1
    error = capsys.readouterr().err
    assert f"only slm-tui computes its model.{next(iter(settings))}" in error
    assert not (tmp_path / "it.gguf").exists()
