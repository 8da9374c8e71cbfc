"""A validation split that fills no window is rejected, with the smallest ratio that works."""

from collections.abc import Callable
from pathlib import Path

import pytest

from slm_tui.config.preset import Preset, parse
from slm_tui.corpus import fit
from slm_tui.corpus.prepare import prepare
from slm_tui.errors import CorpusError
from slm_tui.live.session import Session
from slm_tui.runs import store

Tiny = Callable[..., Preset]


def of_text(tiny: Tiny, tmp_path: Path, text: str, tokenizer: dict[str, object]) -> Preset:
    path = tmp_path / "text.txt"
    path.write_text(text)
    data = {"kind": "file", "path": str(path), "split": {"validation": 0.01}}
    values = tiny(data=data).to_dict()
    return parse({**values, "tokenizer": tokenizer}, "it")


def with_ratio(preset: Preset, ratio: float) -> Preset:
    values = preset.to_dict()
    values["data"]["split"]["validation"] = ratio
    return parse(values, "it")


def fits(preset: Preset) -> bool:
    return fit.problem(preset, prepare(preset)) is None


WORDS = " ".join(f"word{n} and line\n" * (n % 3 + 1) for n in range(120))


@pytest.mark.parametrize(
    "tokenizer",
    [{"kind": "bytes"}, {"kind": "chars"}, {"kind": "bpe", "vocab_size": 300}],
)
@pytest.mark.parametrize("block_size", [64, 256])
def test_the_suggested_ratio_works_and_a_smaller_one_does_not(
    tiny: Tiny, tmp_path: Path, tokenizer: dict[str, object], block_size: int
) -> None:
    preset = of_text(tiny, tmp_path, WORDS, tokenizer)
    values = preset.to_dict()
    values["model"]["block_size"] = block_size
    preset = parse(values, "it")
    with pytest.raises(CorpusError, match=r"validation has .* set data\.split\.validation to 0\."):
        fit.check(preset, prepare(preset))
    ratio = fit.smallest_ratio(preset, prepare(preset))
    assert ratio is not None
    assert fits(with_ratio(preset, ratio))
    assert not fits(with_ratio(preset, ratio - 0.01 if ratio > 0.01 else ratio - 0.001))


def test_a_text_too_short_for_any_ratio_is_reported(tiny: Tiny, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, "a few words only", {"kind": "bytes"})
    with pytest.raises(CorpusError, match="use more text$"):
        fit.check(preset, prepare(preset))


def test_a_block_size_is_suggested_only_if_it_works(tiny: Tiny, tmp_path: Path) -> None:
    values = of_text(tiny, tmp_path, "a few words more than that", {"kind": "bytes"}).to_dict()
    values["data"]["split"]["validation"] = 0.3
    values["model"]["block_size"] = 64
    preset = parse(values, "it")
    corpus = prepare(preset)
    with pytest.raises(CorpusError, match=r"or set model\.block_size to \d+ or less") as caught:
        fit.check(preset, corpus)
    fitting = int(str(caught.value).split("block_size to ")[1].split()[0])
    values["model"]["block_size"] = fitting
    fit.check(parse(values, "it"), corpus)


def test_the_error_counts_validation_documents_that_were_copies(tiny: Tiny, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, "<|endoftext|>".join(["the same"] * 90), {"kind": "bytes"})
    with pytest.raises(CorpusError, match=r"use more text: \d+ of its documents were verbatim"):
        fit.check(preset, prepare(preset))


def test_no_validation_split_is_valid(tiny: Tiny, tmp_path: Path) -> None:
    preset = with_ratio(of_text(tiny, tmp_path, WORDS, {"kind": "bytes"}), 0.0)
    fit.check(preset, prepare(preset))


def test_the_ratio_suggested_for_stories_with_a_large_window_works(tiny: Tiny) -> None:
    bpe = {"kind": "bpe", "vocab_size": 1000}
    preset = tiny(model__block_size=16_384, data__documents=2000, tokenizer=bpe)
    preset = with_ratio(preset, 0.001)
    corpus = prepare(preset)
    assert not fits(preset)
    ratio = fit.smallest_ratio(preset, corpus)
    assert ratio is not None
    assert fits(with_ratio(preset, ratio))


def test_a_rejected_run_leaves_nothing_behind(tiny: Tiny, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, WORDS, {"kind": "bytes"})
    values = preset.to_dict()
    values["model"]["block_size"] = 64
    session = Session.start(parse(values, "it"))
    assert session.wait(60)
    assert session.status.state == "failed"
    assert "set data.split.validation to" in session.status.error
    assert store.all_runs() == []


def test_a_file_that_changed_after_preparation_is_prepared_again(
    tiny: Tiny, tmp_path: Path
) -> None:
    preset = with_ratio(of_text(tiny, tmp_path, WORDS, {"kind": "bytes"}), 0.2)
    before = prepare(preset).fingerprint
    (tmp_path / "text.txt").write_text(WORDS.upper())
    session = Session.start(preset)
    assert session.wait(60)
    assert session.status.state == "done"
    after = prepare(preset)
    assert after.fingerprint != before
    assert b"WORD" in after.tokenizer.decode_bytes(after.train[:200])
