"""Tokenizers of other models, from their `tokenizer.json`, run by the library `tokenizers`."""

import json
import re
from typing import Any

import numpy as np

from slm_tui.corpus.tokenizers.alphabet import to_bytes
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound
from slm_tui.errors import CorpusError, in_words

KIND = "transformers"
_NOT_UTF8 = re.compile("([\udc80-\udcff])")
_MOST_TOKENS = 2**24


class ForeignTokenizer(Tokenizer):
    """A byte-level tokenizer, such as those of GPT-2, Llama 3 and Qwen.

    It may have fewer tokens than `n_vocab`: models pad their vocabulary. If it normalises text
    (Unicode composition, as Qwen's does), decoding gives the normalised text.
    """

    kind = KIND

    def __init__(self, values: dict[str, Any], n_vocab: int, end_of_text: int, begin: int) -> None:
        """Take the values of a `tokenizer.json`.

        Args:
            values: as parsed; they are not changed.
            n_vocab: the vocabulary of the model.
            end_of_text: the id that ends a text.
            begin: the id that begins one; the same as `end_of_text` if there is no other.

        Raises:
            CorpusError: it is not a byte-level tokenizer, or has more tokens than the model.
        """
        import tokenizers

        _check_byte_level(values)
        model = {name: value for name, value in values["model"].items() if name != "slm_tui"}
        # Truncation and padding belong to batches, and would lose text here.
        plain = {**values, "model": model, "truncation": None, "padding": None}
        text = json.dumps(plain, ensure_ascii=False)
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(text)
            vocabulary = self._tokenizer.get_vocab(with_added_tokens=True)
            added = self._tokenizer.get_added_tokens_decoder()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            raise _unusable(in_words(error)) from None
        self._tokenizer.encode_special_tokens = True
        if not 0 < n_vocab <= _MOST_TOKENS or max(vocabulary.values(), default=0) >= n_vocab:
            most = max(vocabulary.values(), default=0) + 1
            raise _unusable(f"it has {most:,} tokens, and the model {n_vocab:,}")
        if not (0 <= end_of_text < n_vocab and 0 <= begin < n_vocab):
            raise _unusable("its special tokens are not in the vocabulary of the model")
        self.n_vocab, self.end_of_text, self.document_start = n_vocab, end_of_text, begin
        self._bytes = [b""] * n_vocab
        for name, id in vocabulary.items():
            self._bytes[id] = b"" if id in added else _bytes_of(name)
        for id, token in added.items():
            self._bytes[id] = b"" if token.special else token.content.encode("utf-8", "replace")
        for id in (end_of_text, begin):
            self._bytes[id] = b""
        self._single = {one[0]: id for id, one in enumerate(self._bytes) if len(one) == 1}
        self._plain = plain
        self.normalises = values.get("normalizer") is not None
        self.fingerprint = fingerprint_of(
            KIND, [text.encode("utf-8", "replace"), f"{n_vocab} {end_of_text} {begin}".encode()]
        )

    def encode_array(self, text: str) -> Ids:
        ids = self._tokenizer.encode(sound(text), add_special_tokens=False).ids
        return np.array(ids, dtype=self.dtype)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes: each byte that is not valid UTF-8 is a separate token, or U+FFFD if the
        vocabulary lacks it."""
        ids: list[int] = []
        for part in _NOT_UTF8.split(data.decode("utf-8", "surrogateescape")):
            if not _NOT_UTF8.match(part):
                ids += self.encode(part)
                continue
            id = self._single.get(part.encode("utf-8", "surrogateescape")[0])
            ids += self.encode("\ufffd") if id is None else [id]
        return ids

    def token_bytes(self, id: int) -> bytes:
        return self._bytes[id] if 0 <= id < self.n_vocab else b""

    def name_of(self, id: int) -> str:
        """How the file writes a token; empty outside its vocabulary."""
        return str(self._tokenizer.id_to_token(id) or "")

    def to_json(self) -> str:
        own = {
            "kind": KIND,
            "n_vocab": self.n_vocab,
            "end_of_text": self.end_of_text,
            "begin": self.document_start,
        }
        # `tokenizers` ignores an unknown key here, but not at the top level.
        values = {**self._plain, "model": {"slm_tui": own, **self._plain["model"]}}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def is_one(text: str) -> bool:
    """Whether `text` is the output of `ForeignTokenizer.to_json`."""
    return f'"slm_tui":{{"kind":"{KIND}"' in text


def from_json(text: str) -> ForeignTokenizer:
    """Open the output of `ForeignTokenizer.to_json`.

    Raises:
        CorpusError: it is something else.
    """
    try:
        values = json.loads(text)
        own = values["model"]["slm_tui"]
        numbers = [own[name] for name in ("n_vocab", "end_of_text", "begin")]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unusable(in_words(error)) from None
    if not all(type(one) is int for one in numbers):
        raise _unusable("its numbers are not whole")
    return ForeignTokenizer(values, *numbers)


def _check_byte_level(values: Any) -> None:
    """Raise unless tokens are written in GPT-2's symbols for bytes."""
    try:
        kind = values["model"]["type"]
        before, after = _types(values["pre_tokenizer"]), _types(values["decoder"])
    except (KeyError, TypeError, RecursionError):
        raise _unusable("it is not a file of the library tokenizers") from None
    if kind != "BPE" or "ByteLevel" not in before or after != ["ByteLevel"]:
        decoder = ", ".join(map(str, after)) or "none"
        raise CorpusError(
            "the tokenizer cannot be used",
            f"it is not byte-level BPE (model {kind}, decoder {decoder})",
            "choose a model with a byte-level tokenizer, such as GPT-2, Llama 3 or Qwen3",
        )


def _types(value: Any) -> list[str]:
    """The types of a step and of those inside it."""
    if value is None:
        return []
    if value["type"] != "Sequence":
        return [value["type"]]
    inner = value.get("pretokenizers", value.get("decoders", []))
    return [name for one in inner for name in _types(one)]


def _bytes_of(name: str) -> bytes:
    try:
        return to_bytes(name)
    except KeyError:
        return name.encode("utf-8", "replace")


def _unusable(why: str) -> CorpusError:
    return CorpusError("the tokenizer cannot be used", why, "choose another model")
