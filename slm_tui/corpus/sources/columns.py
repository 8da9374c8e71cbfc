"""Finds the text columns of a table and the text of a row: plain, nested, or turns of a chat.

A row maps column names to JSON values. Nested columns are named with dots: `data.text`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slm_tui.errors import CorpusError
from slm_tui.formatting import either

Row = Mapping[str, Any]

# Usual names of text columns in published tables, most specific first.
USUAL_COLUMNS = (
    "text",
    "content",
    "story",
    "document",
    "passage",
    "sentence",
    "paragraph",
    "article",
    "body",
)
USUAL_PAIRS = (
    ("instruction", "output"),
    ("instruction", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("input", "output"),
    ("question", "answer"),
    ("context", "response"),
    ("human", "assistant"),
)
USUAL_CHATS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue", "turns")
_WHO = ("role", "from", "speaker", "author", "sender", "name")
_WHAT = ("content", "value", "text", "utterance", "message")
_SPEAKERS = {"human": "User", "gpt": "Assistant", "bot": "Assistant", "model": "Assistant"}
_DEEPEST = 4
_MOST_LISTED = 12
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class NoRowsError(CorpusError):
    """A table is empty; among several tables it is skipped."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} has no text", "it has no rows", "choose another file")


@dataclass(frozen=True)
class ColumnChoice:
    """The columns whose texts make up a document, and a note on how they were found."""

    columns: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class ColumnSettings:
    """The settings: names of one or two columns, or empty, and the text that joins them."""

    text_column: str = ""
    second_column: str = ""
    separator: str = "\n\n"

    @property
    def named(self) -> list[str]:
        return [one for one in (self.text_column, self.second_column) if one]


class Columns:
    """Finds the text of the rows of one table.

    Args:
        name: name of the table for errors.
        kinds: the kind of each column, see `kinds_of`.

    Raises:
        CorpusError: the named columns do not exist, or none looks like text.
    """

    def __init__(
        self,
        name: str,
        kinds: Mapping[str, str],
        settings: ColumnSettings,
        *,
        replace: bool = False,
        where: Callable[[], str] | None = None,
    ) -> None:
        self._name, self._settings, self._replace = name, settings, replace
        self._where = where or (lambda: f"a row of {name}")
        self._kinds = dict(kinds)
        self.choice = self._chosen(self._kinds)
        self.notes = [self.choice.note] if self.choice.note else []
        self.replaced = 0
        # Rows may have different columns from the first.
        self._by_names: dict[tuple[str, ...], ColumnChoice | None] = {}

    @property
    def outermost(self) -> list[str]:
        """The columns of the table itself that are needed."""
        return list(dict.fromkeys(outermost(one, self._kinds) for one in self.choice.columns))

    def text(self, row: Row) -> str | None:
        """The text of a row; `None` if it has none.

        Raises:
            CorpusError: the value is not text.
        """
        choice = self._choice_for(row)
        if choice is None:
            return None
        values = [value_at(row, one) for one in choice.columns]
        present = [value for value in values if value is not None]
        if not present:
            return None
        return self._settings.separator.join(self._text(choice, value) for value in present)

    def _choice_for(self, row: Row) -> ColumnChoice | None:
        if self._settings.text_column or all(
            value_at(row, one) is not None for one in self.choice.columns
        ):
            return self.choice
        names = tuple(row)
        if names not in self._by_names:
            self._by_names[names] = self._choice_for_other_names(row)
        return self._by_names[names]

    def _choice_for_other_names(self, row: Row) -> ColumnChoice | None:
        """The columns of a row that lacks those of the other rows."""
        row_kinds = {name: kind for name, kind in self._kinds.items() if name in row}
        row_kinds |= {name: kind_of(value) for name, value in row.items() if name not in row_kinds}
        if any(one in row_kinds for one in self.choice.columns):
            return self.choice
        choice = _by_usual_names(row_kinds)
        if choice is not None:
            columns = " and ".join(choice.columns)
            self._note(
                f"rows without {' and '.join(self.choice.columns)} are read from {columns} instead"
            )
        return choice

    def _text(self, choice: ColumnChoice, value: Any) -> str:
        if isinstance(value, str):
            text = value
        elif (said := turns(value, choice.columns[0])) is not None:
            text = "\n".join(said)
            self._note(f"each row of {choice.columns[0]} becomes one line per turn")
        else:
            raise CorpusError(
                f"the column {either(choice.columns)} is not text",
                f"{self._where()} has a value of type {_named(value)}",
                "set data.text_column to a column with text",
            )
        # Nearly always a quick check: only JSON escapes can produce a surrogate.
        if text.isascii() or not _HALF_A_PAIR.search(text):
            return text
        if not self._replace:
            raise CorpusError(
                f"{self._where()} cannot be read",
                "it has half of a surrogate pair, which is not a character",
                "correct it, or set data.on_encoding_error to replace, which uses U+FFFD instead",
            )
        text, count = _HALF_A_PAIR.subn("\ufffd", text)
        self.replaced += count
        return text

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)

    def _chosen(self, kinds: Mapping[str, str]) -> ColumnChoice:
        if not kinds:
            raise NoRowsError(self._name)
        named = [self._existing(one, kinds) for one in self._settings.named]
        if self._settings.text_column:
            return ColumnChoice(tuple(named))
        choice = _by_usual_names(kinds) or _only_one(kinds)
        if choice is None:
            raise CorpusError(
                f"{self._name} has no text column",
                f"its columns are {listed(kinds)}, none of which has a usual name",
                "set data.text_column to the one with the text",
            )
        others = [one for one in named if one not in choice.columns]
        return ColumnChoice((*choice.columns, *others), choice.note)

    def _existing(self, name: str, kinds: Mapping[str, str]) -> str:
        if name in kinds:
            return name
        # Compare as a person would: `Text ` in a table is `text`.
        alike = [one for one in kinds if plain(one) == plain(name)]
        if len(alike) == 1:
            return alike[0]
        raise CorpusError(
            f"{self._name} has no column {name!r}",
            f"it has {listed(kinds)}",
            "set data.text_column to one of them",
        )


def kinds_of(rows: Iterable[Row]) -> dict[str, str]:
    """The kind of every column of some rows, including nested columns.

    `text`, `turns`, `number`, `truth`, `list`, `group`, `nothing` if all values are null, and
    `mixed` if they differ; tables without types also have `label`, one of a few texts.
    """
    kinds: dict[str, str] = {}
    for row in rows:
        _collect(row, "", kinds)
    return kinds


def _collect(row: Row, prefix: str, kinds: dict[str, str]) -> None:
    for name, value in row.items():
        whole, kind = prefix + str(name), kind_of(value)
        kind_so_far = kinds.get(whole, "nothing")
        if kind == "nothing" or kind_so_far == kind:
            kinds.setdefault(whole, kind)
        else:
            kinds[whole] = kind if kind_so_far == "nothing" else "mixed"
        if kind == "group" and whole.count(".") < _DEEPEST:
            _collect(value, f"{whole}.", kinds)


def kind_of(value: Any) -> str:
    """The kind of a value, as in `kinds_of`."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, Mapping):
        return "group"
    return "turns" if _are_turns(value) else "list" if isinstance(value, list) else "other"


def value_at(row: Row, column: str) -> Any:
    """The value of a column, which may be nested; `None` if there is none."""
    if column in row:
        return row[column]
    value: Any = row
    rest = column
    while rest:
        if not isinstance(value, Mapping):
            return None
        if rest in value:
            return value[rest]
        name, _, rest = rest.partition(".")
        value = value.get(name)
    return None


def outermost(column: str, kinds: Mapping[str, str]) -> str:
    """The top-level column that contains `column`."""
    parts = column.split(".")
    for count in range(1, len(parts)):
        name = ".".join(parts[:count])
        if kinds.get(name) == "group":
            return name
    return column


def turns(value: Any, column: str) -> list[str] | None:
    """The turns of a chat as lines such as `User: Hello`; `None` if it is not a chat.

    In a column with a usual name for chats, turns may also be texts without a speaker.
    """
    if _last(column) in USUAL_CHATS and _are_texts(value):
        return list(value)
    if not _are_turns(value):
        return None
    lines = []
    for turn in value:
        speaker, text = _first(turn, _WHO), _turn_text(_first(turn, _WHAT))
        if text:
            name = _SPEAKERS.get(str(speaker).lower(), str(speaker).capitalize())
            lines.append(f"{name}: {text}" if speaker else text)
    return lines


def _are_turns(value: Any) -> bool:
    """A list of objects with speaker and text."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, Mapping) and _has(one, _WHO) and _has(one, _WHAT) for one in value)
    )


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _last(column: str) -> str:
    return plain(column.rpartition(".")[2])


def _has(turn: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(name in turn for name in names)


def _first(turn: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((turn[name] for name in names if turn.get(name) is not None), None)


def _turn_text(value: Any) -> str:
    """The text of a turn; if it has several parts, those that are text."""
    if isinstance(value, list):
        parts = (one.get("text") if isinstance(one, Mapping) else one for one in value)
        return "\n".join(one for one in parts if isinstance(one, str))
    return value if isinstance(value, str) else ""


def _by_usual_names(kinds: Mapping[str, str]) -> ColumnChoice | None:
    names: dict[str, str] = {}
    for name in kinds:
        if "." not in name:
            names.setdefault(plain(name), name)
    usual = next((names[one] for one in USUAL_COLUMNS if one in names), None)
    if usual is not None:
        return ColumnChoice((usual,))
    pair = next((pair for pair in USUAL_PAIRS if set(pair) <= set(names)), None)
    if pair is not None:
        return ColumnChoice(tuple(names[one] for one in pair))
    chats = [names[one] for one in USUAL_CHATS if one in names]
    chat = next((one for one in chats if kinds[one] in ("turns", "list")), None)
    return ColumnChoice((chat,)) if chat is not None else None


def _only_one(kinds: Mapping[str, str]) -> ColumnChoice | None:
    """The only text column, the only chat column, or a nested one with a usual name."""
    labels = [name for name, kind in kinds.items() if kind == "label"]
    own = {name: kind for name, kind in kinds.items() if outermost(name, kinds) == name}
    for kind in ("text", "turns"):
        alike = [name for name, one in own.items() if one == kind]
        if len(alike) == 1:
            return ColumnChoice((alike[0],), f"the text is read from {alike[0]}" if labels else "")
        if alike:
            return None
    inner = {name: kind for name, kind in kinds.items() if name not in own and kind == "text"}
    usual = [name for name in inner if _last(name) in USUAL_COLUMNS]
    if len(usual) == 1:
        return ColumnChoice((usual[0],), f"the text is read from {usual[0]}")
    return None


def plain(name: str) -> str:
    """A name for comparison: without case and surrounding spaces."""
    return name.strip().casefold()


def listed(names: Iterable[str]) -> str:
    """Names of columns for an error; if there are many, the first."""
    every = list(names)
    shown = ", ".join(every[:_MOST_LISTED])
    if len(every) > _MOST_LISTED:
        return f"{shown} and {len(every) - _MOST_LISTED} more"
    return shown or "none"


def _named(value: Any) -> str:
    return {"group": "object", "truth": "true or false"}.get(kind_of(value), kind_of(value))
