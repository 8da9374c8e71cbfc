"""Datasets that can be used by name alone, with their contents and sizes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadyMade:
    """One dataset.

    `dataset` is its name on the hub or the URL of its file; `validation` and `test` name its own
    splits. If `heading` is given, rows are lines, and a row that matches it begins a document.
    `bytes` is the approximate size of the text in its training split.
    """

    dataset: str
    title: str
    bytes: int
    config: str = ""
    validation: str = ""
    test: str = ""
    text_column: str = "text"
    minimum_length: int = 0
    heading: str = ""


# An article of WikiText begins with its title between single equals signs.
_WIKI_TITLE = r"^ = [^=].*[^=] = \n?$"

READY_MADE: dict[str, ReadyMade] = {
    "tinystories": ReadyMade(
        "roneneldan/TinyStories",
        "short stories with the vocabulary of a small child (Eldan and Li 2023)",
        1_900_000_000,
        validation="validation",
        minimum_length=50,
    ),
    "wikitext-2": ReadyMade(
        "Salesforce/wikitext",
        "good and featured articles of Wikipedia (Merity et al. 2016)",
        10_900_000,
        config="wikitext-2-raw-v1",
        validation="validation",
        test="test",
        minimum_length=20,
        heading=_WIKI_TITLE,
    ),
    "wikitext-103": ReadyMade(
        "Salesforce/wikitext",
        "the same kind of articles, fifty times as much",
        540_000_000,
        config="wikitext-103-raw-v1",
        validation="validation",
        test="test",
        minimum_length=20,
        heading=_WIKI_TITLE,
    ),
    "tiny-shakespeare": ReadyMade(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "40,000 lines of Shakespeare in one file",
        1_115_394,
    ),
}


def ready_made(dataset: str, config: str = "") -> ReadyMade | None:
    """The entry with this name, here or on the hub; `config`, if given, must match the entry."""
    for name, entry in READY_MADE.items():
        own_name = dataset.lower() == name
        if (own_name and config in ("", entry.config)) or (dataset, config) == (
            entry.dataset,
            entry.config,
        ):
            return entry
    return None
