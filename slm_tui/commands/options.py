"""Options shared by several commands, each declared once."""

import argparse

from slm_tui.formatting import whole_number

SPLITS = ("train", "validation", "test")
ONE_OBJECT = "print one JSON object"


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set PATH=VALUE`, as the list `assignments`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help="change one setting, e.g. model.n_layer=6; repeat to change more",
    )


def add_text(
    parser: argparse.ArgumentParser,
    help: str = "read this file, directory, dataset or URL instead",
) -> None:
    """`--text TEXT`; empty if absent."""
    parser.add_argument("--text", default="", metavar="TEXT", help=help)


def add_device(parser: argparse.ArgumentParser, default: str = "") -> None:
    """`--device DEVICE`."""
    parser.add_argument("--device", default=default, help="auto, cpu, cuda, cuda:1 or mps")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """`--threads N`; 0 if absent."""
    help = "CPU threads (default: all cores, or 1 for a small model)"
    parser.add_argument("--threads", type=whole, default=0, metavar="N", help=help)


def add_seed(parser: argparse.ArgumentParser, help: str) -> None:
    """`--seed SEED`; `None` if absent."""
    parser.add_argument("--seed", type=whole, help=help)


def add_json(parser: argparse.ArgumentParser, help: str = ONE_OBJECT) -> None:
    """`--json`, a switch."""
    parser.add_argument("--json", action="store_true", help=help)


def add_split(parser: argparse.ArgumentParser, default: str) -> None:
    """`--split train|validation|test`; `val` is accepted too."""
    parser.add_argument(
        "--split", type=split, choices=SPLITS, default=default, help=f"default: {default}"
    )


def split(text: str) -> str:
    """The name of a split; `val` is an old name."""
    return "validation" if text == "val" else text


def whole(text: str) -> int:
    """A typed whole number: `500` or `1,000`.

    Raises:
        argparse.ArgumentTypeError: it is not a whole number.
    """
    try:
        return whole_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
