"""Options that several commands have: each is declared here once."""

import argparse

from slm_tui.formatting import whole_number

SPLITS = ("train", "validation", "test")


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set PATH=VALUE`, as the list `assignments`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help="change one setting, e.g. model.n_layer=6; may be repeated",
    )


def add_text(
    parser: argparse.ArgumentParser,
    help: str = "read this file, directory, dataset or web address instead",
) -> None:
    """`--text TEXT`; empty if absent."""
    parser.add_argument("--text", default="", metavar="TEXT", help=help)


def add_device(parser: argparse.ArgumentParser, default: str = "") -> None:
    """`--device DEVICE`."""
    parser.add_argument("--device", default=default, help="auto, cpu, cuda, cuda:1 or mps")


def add_seed(parser: argparse.ArgumentParser, help: str) -> None:
    """`--seed SEED`; `None` if absent."""
    parser.add_argument("--seed", type=whole, help=help)


def add_json(parser: argparse.ArgumentParser, help: str = "as one JSON object") -> None:
    """`--json`, a switch."""
    parser.add_argument("--json", action="store_true", help=help)


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """`--split train|validation|test`; `val` is taken too."""
    parser.add_argument("--split", type=split, choices=SPLITS, default=default)


def split(text: str) -> str:
    """The name of a split; `val` is what it was once called."""
    return "validation" if text == "val" else text


def whole(text: str) -> int:
    """A whole number as it is typed: `500` or `1,000`.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    try:
        return whole_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
