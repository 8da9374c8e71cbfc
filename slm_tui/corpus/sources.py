"""Where documents come from: the built-in stories and text files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from slm_tui.config.built import NotBuiltYet
from slm_tui.config.data import DataConfig, FileData, StoriesData
from slm_tui.errors import CorpusError

END_OF_TEXT = "<|endoftext|>"
# An endless source can give validation its own stories, however few train the model:
# fewer than this and the validation loss is mostly noise.
_FEWEST_HELD_OUT = 64
# No tokenizer here spends more characters on a token, on average, than this.
_MOST_CHARACTERS_PER_TOKEN = 8


@dataclass(frozen=True)
class Document:
    """One text. `bits` is its exact information content where the source knows it."""

    text: str
    bits: float | None = None


def fingerprint(data: DataConfig) -> dict[str, object]:
    """What decides the text of a source, as plain values.

    Raises:
        CorpusError: a file cannot be read.
        NotBuiltYet: this version cannot read such a source.
    """
    import hashlib

    if isinstance(data, StoriesData):
        from slm_tui.corpus.stories import GRAMMAR_VERSION

        return {**data.model_dump(mode="json"), "grammar": GRAMMAR_VERSION}
    if isinstance(data, FileData):
        digest = hashlib.sha256(_read(data)).hexdigest()
        return {**data.model_dump(mode="json", exclude={"path"}), "sha256": digest}
    raise NotBuiltYet(f"the source {data.kind}", "it comes in a later version; use stories or file")


def stories(data: StoriesData, first: int, count: int) -> Iterator[Document]:
    """Stories `first` to `first + count` of the source."""
    from slm_tui.corpus.stories import StoryGenerator

    generator = StoryGenerator(data.richness, data.seed)
    for index in range(first, first + count):
        story = generator.story(index)
        yield Document(story.text, story.bits)


def stories_wanted(data: StoriesData) -> dict[str, int]:
    """How many stories each part gets; validation and test are drawn beyond the training part."""
    wanted = data.documents
    if data.limit.documents is not None:
        wanted = min(wanted, data.limit.documents)
    if data.limit.fraction is not None:
        wanted = max(1, round(wanted * data.limit.fraction))
    characters = data.limit.characters
    if data.limit.tokens is not None:
        characters = data.limit.tokens * _MOST_CHARACTERS_PER_TOKEN
    if characters is not None:
        shortest_story = 100
        wanted = min(wanted, characters // shortest_story + 1)
    parts = {"train": wanted}
    for part, ratio in (("val", data.split.validation), ("test", data.split.test)):
        parts[part] = max(_FEWEST_HELD_OUT, round(wanted * ratio)) if ratio else 0
    return parts


def file_documents(data: FileData) -> list[Document]:
    """The documents of a file: its parts between separators, or all of it as one.

    Raises:
        CorpusError: the file is missing, unreadable, empty, or not UTF-8.
    """
    raw = _read(data)
    text = _decoded(raw, data)
    separator = data.separator or (END_OF_TEXT if END_OF_TEXT in text else "")
    parts = text.split(separator) if separator else [text]
    documents = [Document(part.strip("\n")) for part in parts if part.strip()]
    if not documents:
        raise CorpusError(f"{data.path} has no text", "it is empty", "name another file")
    return documents


def _read(data: FileData) -> bytes:
    if not data.path:
        raise CorpusError("no text file is named", "data.path is empty", "set data.path to a file")
    try:
        path = Path(data.path).expanduser()
    except RuntimeError as error:
        raise CorpusError(f"the text file {data.path} cannot be read", str(error)) from None
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise CorpusError(f"{path} is a directory", "", "name a file in it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise CorpusError(
            f"the text file {path} cannot be read", reason, "set data.path to a file that is there"
        ) from None


def _decoded(raw: bytes, data: FileData) -> str:
    if data.on_encoding_error == "replace":
        return raw.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{data.path} is not UTF-8",
            f"byte {error.start:,} is 0x{raw[error.start]:02x}",
            "convert it, or set data.on_encoding_error to replace",
        ) from None
    if "\0" in text:
        raise CorpusError(f"{data.path} is not text", "it has zero bytes", "name a text file")
    return text
