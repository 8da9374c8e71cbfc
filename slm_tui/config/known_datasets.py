"""Datasets that need no more than their name: what each one is called, holds, and weighs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadyMade:
    """One dataset.

    `dataset` is its name on the hub or the address of its file; `validation` and `test` are the
    names of its own splits. Where `heading` is given, rows are lines, and a row that matches it
    begins a document. `bytes` is about how much text its training split has.
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
        "short stories in the words of a small child (Eldan and Li 2023)",
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
        "the same, fifty times as much of it",
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
    """The entry that is called so here or on the hub; a `config` must be the entry's own."""
    for name, entry in READY_MADE.items():
        own_name = dataset.lower() == name
        if (own_name and config in ("", entry.config)) or (dataset, config) == (
            entry.dataset,
            entry.config,
        ):
            return entry
    return None
