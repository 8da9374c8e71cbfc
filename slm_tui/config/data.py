"""Where text comes from, how much of it is used, and how it is split and cut into tokens."""

import codecs
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from slm_tui.config.fields import Settings, reject, setting
from slm_tui.config.ready_made import READY_MADE

_MOST_HELD_OUT = 0.9


class Limit(Settings):
    """At most one of these bounds; none means all of the text."""

    alternatives = (frozenset({"documents", "characters", "tokens", "fraction"}),)

    documents: int | None = setting(
        None, ge=1, help="Use the first so many documents", unit="documents", nudge="125"
    )
    characters: int | None = setting(
        None, ge=1, help="Use the first so many characters", unit="characters", nudge="125"
    )
    tokens: int | None = setting(
        None, ge=1, help="Use the first so many tokens", unit="tokens", nudge="125"
    )
    fraction: float | None = setting(
        None, gt=0, le=1, help="Use the first so large a part of the documents", nudge="+0.05"
    )

    @model_validator(mode="after")
    def _at_most_one(self) -> Self:
        chosen = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(chosen) > 1:
            raise reject(chosen[1], f"only one limit may be set, not {' and '.join(chosen)}")
        return self


class Split(Settings):
    """Which part of the documents is kept from training."""

    validation: float = setting(
        0.1, ge=0, le=0.5, help="Part of the text kept for validation", nudge="+0.05"
    )
    test: float = setting(
        0.0, ge=0, le=0.5, help="Part of the text kept for the final test", nudge="+0.05"
    )

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.validation + self.test > _MOST_HELD_OUT:
            raise reject(
                "test",
                f"validation {self.validation:g} and test {self.test:g} leave too little to "
                f"train on: at most {_MOST_HELD_OUT:g} may be held out",
                f"{max(0.0, _MOST_HELD_OUT - self.validation):g}",
            )
        return self


def _with_line_ends(text: str) -> str:
    """`\\n` and `\\t` as they are typed become what they stand for."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


Separator = Annotated[str, AfterValidator(_with_line_ends)]

_ENCODINGS = ("auto", "utf-8", "utf-16", "cp1252", "latin-1", "cp1251", "gb18030", "shift_jis")
# Codecs of Python that are no encodings of a text file.
_NO_ENCODINGS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}


def _known_encoding(name: str) -> str:
    name = name.strip()
    if name.lower() in ("", "auto"):
        return "auto"
    try:
        # Codecs such as hex, which make no bytes of a text, are refused by `encode` alone.
        " ".encode(name)
        known = codecs.lookup(name).name not in _NO_ENCODINGS
    except (LookupError, ValueError):
        known = False
    if not known:
        raise reject("encoding", f"no encoding is called {name!r}", "utf-8, cp1252 or gb18030")
    return name


Encoding = Annotated[str, AfterValidator(_known_encoding)]


def _encoding_setting() -> Any:
    return setting(
        "auto",
        help="Encoding of the text; auto: by its byte order mark, else UTF-8",
        suggestions=_ENCODINGS,
        advanced=True,
    )


def _one_character(text: str) -> str:
    text = _with_line_ends(text)
    if len(text) > 1 or text in ('"', "\n", "\r"):
        raise reject("delimiter", "a delimiter is one character, and no quote or line end", "\\t")
    return text


Delimiter = Annotated[str, AfterValidator(_one_character)]


class _Data(Settings):
    limit: Limit = setting(Limit(), help="How much of the text the model is trained on")
    split: Split = setting(Split(), help="How the text is divided")


class StoriesData(_Data):
    """The built-in stories: endless, deterministic, with a known entropy."""

    kind: Literal["stories"] = setting("stories", help="Where the text comes from")
    richness: Literal["tiny", "small", "rich"] = setting(
        "small", help="How many words and plots the stories draw on"
    )
    documents: int = setting(
        20_000, ge=1, le=10_000_000, help="Stories to write", unit="stories", nudge="125"
    )
    seed: int = setting(0, ge=0, help="Another seed writes other stories", nudge="+1")


class FileData(_Data):
    """One file of text, or of rows with a text column."""

    kind: Literal["file"] = setting("file", help="Where the text comes from")
    path: str = setting("", help="The file; relative to the working directory, ~ is home")
    format: Literal["auto", "text", "jsonl", "csv", "parquet"] = setting(
        "auto", help="How the file is laid out; auto goes by its name", advanced=True
    )
    separator: Separator = setting(
        "",
        help="What stands between documents of plain text; empty: <|endoftext|> where it is there",
        advanced=True,
    )
    text_column: str = setting(
        "", help="Column with the text of jsonl, csv, parquet; empty: found by its usual names"
    )
    second_column: str = setting("", help="A column to append to the first", advanced=True)
    column_separator: Separator = setting("\n\n", help="What joins two columns", advanced=True)
    delimiter: Delimiter = setting(
        "", help="What stands between the cells of csv; empty: found", advanced=True
    )
    header: Literal["auto", "yes", "no"] = setting(
        "auto", help="Whether the first line of csv names the columns", advanced=True
    )
    quotes: Literal["auto", "double", "backslash", "none"] = setting(
        "auto",
        help="Quotes within csv: doubled, after a backslash, or part of the text",
        advanced=True,
    )
    encoding: Encoding = _encoding_setting()
    on_encoding_error: Literal["refuse", "replace"] = setting(
        "refuse", help="What to do with bytes that the encoding does not have", advanced=True
    )


class DirectoryData(_Data):
    """All text files below a directory."""

    kind: Literal["directory"] = setting("directory", help="Where the text comes from")
    path: str = setting("", help="The directory; relative to the working directory, ~ is home")
    pattern: str = setting(
        "", help="Which files, as a glob such as **/*.py; empty: every .txt and .md file"
    )
    separator: Separator = setting(
        "",
        help="What stands between documents of a file; empty: <|endoftext|> where it is there",
        advanced=True,
    )
    encoding: Encoding = _encoding_setting()
    on_encoding_error: Literal["refuse", "skip", "replace"] = setting(
        "refuse", help="What to do with files that are no text or cannot be read", advanced=True
    )


class HuggingFaceData(_Data):
    """A dataset of the Hugging Face hub, of a web address, or a local one, through `datasets`."""

    kind: Literal["huggingface"] = setting("huggingface", help="Where the text comes from")
    dataset: str = setting(
        "roneneldan/TinyStories",
        min_length=1,
        help="Name on the hub, a ready-made one, a local path, or the address of a file",
        suggestions=tuple(READY_MADE),
    )
    config: str = setting("", help="Configuration of the dataset, where it has several")
    revision: str = setting("", help="Branch, tag or commit; empty: the newest", advanced=True)
    train_split: str = setting("train", min_length=1, help="Name of the training split")
    validation_split: str = setting(
        "", help="Name of the validation split; empty: as ready-made, or cut; none: cut by ratio"
    )
    test_split: str = setting(
        "",
        help="Name of the test split; empty: as ready-made, or cut; none: cut by ratio",
        advanced=True,
    )
    text_column: str = setting("", help="Column with the text; empty: found by its usual names")
    second_column: str = setting("", help="A column to append to the first", advanced=True)
    column_separator: Separator = setting("\n\n", help="What joins two columns", advanced=True)
    minimum_length: int = setting(
        0, ge=0, help="Leave out shorter documents", unit="characters", nudge="125", advanced=True
    )
    maximum_length: int | None = setting(
        None, ge=1, help="Leave out longer documents", unit="characters", nudge="125", advanced=True
    )
    streaming: bool = setting(False, help="Read over the network without storing", advanced=True)
    cache_dir: str = setting(
        "", help="Where downloads are kept; empty: the usual place of datasets", advanced=True
    )

    @model_validator(mode="after")
    def _lengths_leave_something(self) -> Self:
        if self.maximum_length is not None and self.maximum_length < self.minimum_length:
            raise reject(
                "maximum_length",
                f"nothing is at least {self.minimum_length} and at most {self.maximum_length} long",
                self.minimum_length * 10,
            )
        return self


DataConfig = Annotated[
    StoriesData | FileData | DirectoryData | HuggingFaceData, Field(discriminator="kind")
]


class BytesTokenizer(Settings):
    """Every byte is a token."""

    kind: Literal["bytes"] = setting("bytes", help="How text is cut into tokens")


class CharsTokenizer(Settings):
    """Every character of the training text is a token."""

    kind: Literal["chars"] = setting("chars", help="How text is cut into tokens")
    limit: Limit = setting(Limit(), help="How much text the vocabulary is taken from")


class BpeTokenizer(Settings):
    """Byte-pair encoding trained on the training part."""

    kind: Literal["bpe"] = setting("bpe", help="How text is cut into tokens")
    vocab_size: int = setting(
        1024, ge=257, le=65_536, help="Distinct tokens, end-of-text included", nudge="x2"
    )
    limit: Limit = setting(Limit(), help="How much text the merges are learned from")


class Gpt2Tokenizer(Settings):
    """GPT-2's byte-pair encoding, whole or cut at a rank."""

    kind: Literal["gpt2"] = setting("gpt2", help="How text is cut into tokens")
    vocab_size: int = setting(
        50_257,
        ge=257,
        le=50_257,
        help="Distinct tokens; below 50,257 the merges are cut at that rank",
        nudge="x2",
    )


TokenizerConfig = Annotated[
    BytesTokenizer | CharsTokenizer | BpeTokenizer | Gpt2Tokenizer, Field(discriminator="kind")
]


def vocabulary_size(tokenizer: TokenizerConfig) -> int:
    """The number of distinct tokens asked for; a trained tokenizer may end up with fewer."""
    if isinstance(tokenizer, BytesTokenizer):
        return 256
    if isinstance(tokenizer, CharsTokenizer):
        return 257  # bytes and end-of-text; characters beyond ASCII are known once the text is read
    return tokenizer.vocab_size
