"""The available tokenizers to compare with, and how to load them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slm_tui import paths, safe_files
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Choice

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.corpus.tokenizers import Tokenizer

NONE = "none"
_MOST_PREPARED = 6
_MOST_MANIFEST = 1 << 26


@dataclass(frozen=True)
class TokenizerChoice:
    """A tokenizer to choose from; `load` may take a second and may raise a `CorpusError`."""

    choice: Choice
    load: "Callable[[], Tokenizer]"


def others(corpus: "Corpus", sample: str) -> list[TokenizerChoice]:
    """The tokenizers to compare with that of `corpus`; `sample` provides the characters."""
    choices = [
        TokenizerChoice(Choice("bytes", "bytes", "each byte is a token"), _bytes),
        TokenizerChoice(
            Choice("chars", "chars", "each character is a token"), lambda: _chars(sample)
        ),
        TokenizerChoice(Choice("gpt2", "gpt2", "GPT-2's 50,257 tokens"), lambda: _gpt2(50_257)),
    ]
    own = corpus.tokenizer
    sizes = {size for size in (512, 1024, 4096, 10_000, own.n_vocab) if 257 <= size < 50_257}
    for size in sorted(sizes):
        label = f"gpt2 {size:,}"
        help = "GPT-2, truncated" + (" to the size used here" if size == own.n_vocab else "")
        choices.append(TokenizerChoice(Choice(label, label, help), lambda size=size: _gpt2(size)))  # type: ignore[misc]
    return choices + _prepared(corpus)


def _prepared(corpus: "Corpus") -> list[TokenizerChoice]:
    """The trained tokenizers of other local corpora, newest first."""
    choices: list[TokenizerChoice] = []
    seen = {corpus.tokenizer.fingerprint}
    directories = list(paths.corpora_dir().glob("*/tokenizer.json"))
    directories.sort(key=lambda one: one.stat().st_mtime, reverse=True)
    for file in directories:
        try:
            manifest = safe_files.read_json(file.parent / "manifest.json", _MOST_MANIFEST)
            kind, size = manifest["identity"]["tokenizer"]["kind"], manifest["n_vocab"]
            text = one_line(str(manifest["text"]), 36)
            digest = manifest["sha256"]["tokenizer.json"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if kind not in ("bpe", "chars") or digest in seen or file.parent == corpus.directory:
            continue
        seen.add(digest)
        label = f"{kind} {size:,}"
        choice = Choice(str(file), label, f"trained on {text}")
        choices.append(TokenizerChoice(choice, lambda file=file: _opened(file.read_text("utf-8"))))  # type: ignore[misc]
        if len(choices) == _MOST_PREPARED:
            break
    return choices


def _bytes() -> "Tokenizer":
    from slm_tui.corpus.tokenizers import byte_tokenizer

    return byte_tokenizer()


def _chars(sample: str) -> "Tokenizer":
    from slm_tui.corpus.tokenizers import chars_tokenizer

    return chars_tokenizer([sample])


def _gpt2(size: int) -> "Tokenizer":
    from slm_tui.corpus.tokenizers import load_gpt2

    return load_gpt2(size)


def _opened(text: str) -> "Tokenizer":
    from slm_tui.corpus.tokenizers import from_json

    return from_json(text)


def labels_of(tokenizer: "Tokenizer", tokens: int, size: int) -> list[str]:
    """`gpt2 50,257 · 87 tokens of 4.11 bytes`, and the same in fewer words."""
    short = f"{tokenizer.kind} {tokenizer.n_vocab:,} · {tokens:,} tokens"
    each = f" of {size / tokens:.2f} bytes" if tokens else ""
    return [short + each, short, f"{tokenizer.kind} · {tokens:,}"]
