"""Large texts: on one line or many, without a break or an end, in bounded memory."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import Corpus, prepare
from tests import extent, limits

Make = Callable[..., Preset]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PARTS = ("train", "val", "test")


def of(path: Path, tokenizer: dict[str, Any], tiny: Make, **data: Any) -> Corpus:
    return prepare(tiny(data={"kind": "file", "path": str(path), **data}, tokenizer=tokenizer))


@extent.sample(5)
@pytest.mark.parametrize(
    "tokenizer",
    [{"kind": "bytes"}, {"kind": "chars"}, {"kind": "bpe", "vocab_size": 300}, {"kind": "gpt2"}],
    ids=lambda tokenizer: tokenizer["kind"],
)
@pytest.mark.parametrize(
    "unit",
    ["word and another ", "x", "漢字", "a.", "- "],
    ids=["words", "x", "han", "dots", "dash"],
)
def test_megabytes_on_one_line_round_trip(
    unit: str, tokenizer: dict[str, Any], tiny: Make, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    raw = unit.encode() * (extent.of(1_200_000, 10_000_000) // len(unit.encode()))
    path.write_bytes(raw)
    corpus = of(path, tokenizer, tiny)
    train, val = (corpus.tokenizer.decode_bytes(getattr(corpus, part)) for part in PARTS[:2])
    assert raw.startswith(train)
    assert raw.endswith(val)
    # A space at the boundary is in neither half.
    assert 0 <= len(raw) - len(train) - len(val) <= 1
    assert len(val) == pytest.approx(len(raw) / 10, rel=0.3)
    counts = corpus.manifest["parts"]
    assert [counts[part]["bytes"] for part in PARTS] == [len(train), len(val), 0]


def test_a_limit_in_tokens_is_reached_if_tokens_are_long(tiny: Make, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(("-" * 64 + "\n") * 20_000)
    corpus = of(path, {"kind": "gpt2"}, tiny, limit={"tokens": 2000}, split={"validation": 0.5})
    # The text has tens of thousands of them.
    assert len(corpus.train) + len(corpus.val) == 2000


MEASURE = """
import resource, sys
from slm_tui.config.preset import parse
from slm_tui.corpus.prepare import prepare

def peak(path):
    data = {"kind": "file", "path": path}
    preset = parse({"name": "x", "data": data, "tokenizer": {"kind": sys.argv[1]}}, "it")
    corpus = prepare(preset)
    assert corpus.manifest["parts"]["val"]["tokens"] and "val" in corpus.manifest["leakage"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

print(peak(sys.argv[2]), peak(sys.argv[3]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory differently")
@pytest.mark.parametrize(
    ("separator", "tokenizer"),
    [
        pytest.param("\n", "bytes", id="one document-bytes"),
        pytest.param("\n", "chars", id="one document-chars", marks=extent.only_in_all),
        pytest.param("\n", "gpt2", id="one document-gpt2", marks=extent.only_in_all),
        pytest.param("<|endoftext|>", "bytes", id="many-bytes", marks=extent.only_in_all),
        pytest.param("<|endoftext|>", "chars", id="many-chars"),
        pytest.param("<|endoftext|>", "gpt2", id="many-gpt2", marks=extent.only_in_all),
    ],
)
def test_memory_does_not_grow_with_the_text(separator: str, tokenizer: str, tmp_path: Path) -> None:
    words = [f"word{number * 7919 % 99991:x} été" for number in range(5000)]
    texts = {}
    for name, size in (("small", 1_000_000), ("large", extent.of(25_000_000, 40_000_000))):
        texts[name] = tmp_path / f"{name}.txt"
        with texts[name].open("w") as file:
            written = number = 0
            while written < size:
                at = number * 37 % 4900
                written += file.write(f"{number} {' '.join(words[at : at + 100])}{separator}")
                number += 1
    command = [sys.executable, "-c", MEASURE, tokenizer, str(texts["small"]), str(texts["large"])]
    done = limits.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < before + 2 * extent.of(25_000_000, 40_000_000)
