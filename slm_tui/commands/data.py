"""`slm-tui data`: prepares a preset's corpus, and prints statistics and documents."""

import argparse
import random
import sys
from typing import TYPE_CHECKING

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED, stop_event
from slm_tui.commands.progress_line import CorpusProgress
from slm_tui.errors import CorpusError

if TYPE_CHECKING:
    from slm_tui.config.preset import Preset
    from slm_tui.corpus.prepare import Corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui data`."""
    commands = parser.add_subparsers(metavar="WHAT", required=True)
    for what, line in (
        ("prepare", "tokenize the text now"),
        ("stats", "documents, tokens, lengths, and what they mean for training"),
        ("sample", "print documents"),
    ):
        as_json = "print one JSON object per document" if what == "sample" else shared.ONE_OBJECT
        one = commands.add_parser(what, help=line)
        one.add_argument("preset", help="preset name, .toml file, or a text as in --text")
        shared.add_text(one)
        shared.add_set(one)
        shared.add_json(one, as_json)
        one.set_defaults(command=data, what=what)
    sample = commands.choices["sample"]
    sample.add_argument(
        "--count", type=shared.whole, default=1, help="number of documents (default: 1)"
    )
    shared.add_split(sample, "train")
    sample.add_argument(
        "--part",
        dest="split",
        type=shared.split,
        choices=shared.SPLITS,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
    shared.add_seed(sample, "random seed; the same seed prints the same documents")


def data(options: argparse.Namespace) -> int:
    """Run the subcommand; returns 130 if interrupted. Progress goes to stderr."""
    from slm_tui.config import overrides, text_location
    from slm_tui.corpus.progress import Cancelled

    preset = _chosen_preset(options.preset)
    if options.text:
        preset = text_location.reading(preset, options.text)
    preset = overrides.apply(preset, options.assignments)
    try:
        corpus = _prepared(preset)
    except Cancelled:
        output.say_stderr("stopped; nothing was left behind")
        return INTERRUPTED
    if options.what == "sample":
        _print_documents(corpus, options)
        return 0
    from slm_tui.commands import data_report

    if options.what == "prepare":
        data_report.print_prepared(preset, corpus, as_json=options.json)
    else:
        data_report.print_statistics(preset, corpus, as_json=options.json)
    return 0


def _chosen_preset(name: str) -> "Preset":
    """The preset called `name`, or the default preset changed to read the text `name`.

    Raises:
        PresetError: `name` is neither.
    """
    from slm_tui.config import library, text_location

    if library.find(name) is None and text_location.is_text(name):
        return text_location.pointed(library.get(library.DEFAULT), name)
    return library.get(name)


def _prepared(preset: "Preset") -> "Corpus":
    from slm_tui.corpus.prepare import prepare

    line = CorpusProgress(sys.stderr)
    with stop_event() as cancel:
        try:
            return prepare(preset, progress=line, cancel=cancel)
        finally:
            line.clear()


def _print_documents(corpus: "Corpus", options: argparse.Namespace) -> None:
    from slm_tui.corpus.documents import Documents

    split = options.split
    # `part` is the corpus's name for the split.
    part = "val" if split == "validation" else split
    stream = {"train": corpus.train, "val": corpus.val, "test": corpus.test}[part]
    documents = Documents(stream, corpus.tokenizer.end_of_text)
    if not len(documents):
        raise CorpusError(
            f"the {split} split of {options.preset} has no documents",
            "",
            "choose another --split, or a larger data.split",
        )
    for number in _chosen(len(documents), options.count, options.seed):
        ids = documents.ids(number)
        text = corpus.tokenizer.decode_bytes(ids).decode("utf-8", "replace")
        if options.json:
            values = {"split": split, "part": part, "document": number, "tokens": len(ids)}
            output.say_json({**values, "text": text})
        else:
            head = f"{split} {number + 1:,} of {len(documents):,}, {len(ids):,} tokens"
            output.say(f"── {head} ──")
            output.say_text(f"{text}\n")


def _chosen(documents: int, number: int, seed: int | None) -> list[int]:
    """Numbers of distinct documents, sampled with `seed`."""
    if number < 1:
        raise CorpusError("--count must be at least 1")
    return random.Random(seed).sample(range(documents), min(number, documents))
