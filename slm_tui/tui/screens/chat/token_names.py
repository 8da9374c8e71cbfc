"""Names of tokens, as detailed as space allows."""

from typing import TYPE_CHECKING

from slm_tui.text import cells, one_line
from slm_tui.tui.screens.chat.heat import END_OF_TEXT
from slm_tui.tui.widgets.token_text import describe_token

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer


def name_of(tokenizer: "Tokenizer", id: int, width: int = 20) -> str:
    """A token in quotes, on one line."""
    from slm_tui.corpus.statistics import shown

    data = tokenizer.token_bytes(id)
    return f"'{one_line(shown(data), width)}'" if data else f"{END_OF_TEXT} end of text"


def names_of(tokenizer: "Tokenizer", id: int, count: int | None) -> list[str]:
    """A token with its bytes and how often it occurs in training, the longest text first."""
    data = tokenizer.token_bytes(id)
    name = f"id {id:,} {name_of(tokenizer, id)}"
    size = "1 byte" if len(data) == 1 else f"{len(data)} bytes"
    seen = [f"{count:,} in training", f"{count:,} seen"] if count is not None else []
    return [
        describe_token(tokenizer, id, count),
        *([f"{name} · {size} · {seen[0]}"] if seen else [f"{name} · {size}"]),
        *(f"{name} · {one}" for one in seen),
        name,
    ]


def first_fitting(choices: list[str], width: int) -> str:
    """The first that fits in `width`, else the last, truncated."""
    return next((one for one in choices if cells(one) <= width), one_line(choices[-1], width))
