"""The command `slm-tui`: its verbs and their options, nothing else."""

import argparse
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from slm_tui import __version__
from slm_tui.commands import output
from slm_tui.errors import SlmTuiError, in_words
from slm_tui.text import visible

_TEXT_HELP = "read this file, directory, dataset or web address instead"
_SET_HELP = "change one setting, e.g. model.n_layer=6; may be repeated"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0 is success, 1 an error that was explained, 2 wrong usage, 130 an interruption.
    """
    output.prepare()
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.verb
    if options.debug:
        _trace_failures()
    try:
        return run(options)
    except SlmTuiError as error:
        return _explain(str(error), options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        output.silence(sys.stdout)
        return 0
    except Exception as error:  # noqa: BLE001 - the last line: a user sees one line, not a trace
        return _explain(in_words(error), options)


def _trace_failures() -> None:
    """Show the tracebacks that threads log: training fails in a thread of its own."""
    import logging

    logging.basicConfig(stream=sys.stderr)
    logging.getLogger("slm_tui").setLevel(logging.DEBUG)


def _explain(text: str, options: argparse.Namespace) -> int:
    if options.debug:
        traceback.print_exc()
    output.tell(f"slm-tui: {text}")
    return 1


class _Parser(argparse.ArgumentParser):
    """What is wrong with the words of a command is printed safely: they may be file names."""

    def _print_message(self, message: str, file: "SupportsWrite[str] | None" = None) -> None:
        super()._print_message(visible(message), file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="slm-tui",
        description="Train, watch and talk to small language models. Without a verb: the app.",
    )
    parser.add_argument("--version", action="version", version=f"slm-tui {__version__}")
    parser.add_argument("--debug", action="store_true", help="show a traceback with an error")
    parser.add_argument("--run", default="", metavar="RUN", help="open the app on this run")
    parser.set_defaults(verb=_app)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")
    _train(verbs)
    _presets(verbs)
    _data(verbs)
    _runs(verbs)
    _evaluate(verbs)
    _generate(verbs)
    _bench(verbs)
    doctor = verbs.add_parser("doctor", help="what works here: device, versions, paths, terminal")
    doctor.add_argument("--json", action="store_true", help="as one JSON object")
    doctor.set_defaults(verb=_doctor)
    return parser


if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    _Verbs = argparse._SubParsersAction[_Parser]


def _train(verbs: "_Verbs") -> None:
    train = verbs.add_parser("train", help="train a preset, or go on with a run")
    train.add_argument("preset", nargs="?", default="", help="name of a preset, or a .toml file")
    train.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help=_SET_HELP,
    )
    train.add_argument("--text", default="", metavar="TEXT", help=_TEXT_HELP)
    train.add_argument("--seed", type=int, help="the same as --set training.seed=N")
    train.add_argument("--name", default="", help="name of the run; else the preset's")
    train.add_argument("--device", default="", help="auto, cpu, cuda, cuda:1 or mps")
    train.add_argument(
        "--resume",
        default="",
        metavar="RUN",
        help="go on exactly with this run; --set takes only what cannot change its losses",
    )
    train.add_argument("--steps", type=int, default=0, help="with --resume: so many more steps")
    train.add_argument(
        "--from",
        default="",
        metavar="CHECKPOINT",
        dest="initial",
        help="begin a new run with these weights; without a preset, with its settings too",
    )
    train.add_argument(
        "--detach", action="store_true", help="give the prompt back; the run goes on by itself"
    )
    train.add_argument("--json", action="store_true", help="one JSON object per event and line")
    train.set_defaults(verb=_run_train)


def _presets(verbs: "_Verbs") -> None:
    presets = verbs.add_parser("presets", help="list, show, check and copy presets")
    inner = presets.add_subparsers(metavar="WHAT", required=True)
    listing = inner.add_parser("list", help="all presets with their size")
    listing.add_argument("--json", action="store_true", help="one JSON object per line")
    show = inner.add_parser("show", help="all settings of a preset, its budget and what they mean")
    show.add_argument("name")
    show.add_argument("--toml", action="store_true", help="as a TOML file")
    show.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help=_SET_HELP,
    )
    check = inner.add_parser("check", help="validate a TOML file")
    check.add_argument("file")
    copy = inner.add_parser("copy", help="make a user preset of another")
    copy.add_argument("name")
    copy.add_argument("new")
    inner.add_parser("schema", help="print the JSON schema of presets, for editors")
    for verb in ("list", "show", "check", "copy", "schema"):
        inner.choices[verb].set_defaults(verb=_run_presets, what=verb)


def _data(verbs: "_Verbs") -> None:
    data = verbs.add_parser("data", help="prepare, count and read the text of a preset, or any")
    inner = data.add_subparsers(metavar="WHAT", required=True)
    inner.add_parser("prepare", help="turn the text into tokens now")
    inner.add_parser("stats", help="documents, tokens, lengths and what training makes of them")
    sample = inner.add_parser("sample", help="print documents")
    for verb in ("prepare", "stats", "sample"):
        one = inner.choices[verb]
        one.add_argument("preset", help="name of a preset, a .toml file, or a text as in --text")
        one.add_argument("--text", default="", metavar="TEXT", help=_TEXT_HELP)
        one.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="PATH=VALUE",
            dest="assignments",
            help=_SET_HELP,
        )
        what = "one JSON object per document" if verb == "sample" else "as one JSON object"
        one.add_argument("--json", action="store_true", help=what)
        one.set_defaults(verb=_run_data, what=verb)
    sample.add_argument("--count", type=int, default=1, help="how many; 1 if not given")
    sample.add_argument("--part", choices=("train", "val", "test"), default="train")
    sample.add_argument("--seed", type=int, help="the same seed prints the same documents")


def _runs(verbs: "_Verbs") -> None:
    runs = verbs.add_parser("runs", help="list, show, follow, steer, rename and delete runs")
    inner = runs.add_subparsers(metavar="WHAT", required=True)
    listing = inner.add_parser("list", help="all runs, newest first")
    listing.add_argument("--json", action="store_true", help="one JSON object per line")
    show = inner.add_parser("show", help="one run and its checkpoints")
    show.add_argument("--json", action="store_true", help="as one JSON object")
    rename = inner.add_parser("rename", help="give a run another name")
    inner.add_parser("delete", help="move a run to the trash")
    inner.add_parser("restore", help="bring a deleted run back")
    follow = inner.add_parser("follow", help="watch a run that another process trains")
    follow.add_argument(
        "--json", action="store_true", help="its status, one JSON object per change"
    )
    steer = inner.add_parser("steer", help="ask the process that trains a run for something")
    for verb in ("show", "rename", "delete", "restore", "follow", "steer"):
        inner.choices[verb].add_argument("run", help="its name, a prefix of it, last, or a path")
    rename.add_argument("name")
    steer.add_argument(
        "request",
        choices=("pause", "continue", "stop", "save", "evaluate", "sample", "rate", "extend"),
        help="rate takes a FACTOR, extend a number of STEPS",
    )
    steer.add_argument("value", nargs="?", help="FACTOR or STEPS")
    steer.add_argument("--json", action="store_true", help="as one JSON object")
    follow.set_defaults(verb=_follow_run)
    steer.set_defaults(verb=_steer_run)
    for verb in ("list", "show", "rename", "delete", "restore"):
        inner.choices[verb].set_defaults(verb=_run_runs, what=verb)


def _evaluate(verbs: "_Verbs") -> None:
    evaluate = verbs.add_parser("evaluate", help="how good checkpoints are, alone or side by side")
    add = evaluate.add_argument
    add("checkpoints", nargs="+", metavar="CHECKPOINT", help="RUN, RUN@best, RUN@500 or a path")
    add("--split", choices=("train", "validation", "test"), default="validation")
    add("--text", default="", metavar="TEXT", help="score this file, directory or dataset instead")
    add("--documents", type=int, metavar="N", help="only the first N documents")
    add("--context-bytes", type=int, metavar="N", help="look back at most N bytes")
    add("--stride", type=int, metavar="N", help="tokens from window to window; half if absent")
    add("--samples", type=int, default=10, metavar="N", help="texts to write; 10 if not given")
    add("--max-tokens", type=int, default=100, metavar="N", help="their greatest length; 100")
    add("--no-generations", action="store_true", help="write no texts")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    add("--output", default="", metavar="DIR", help="results go there; else to the run of one")
    add(
        "--json",
        nargs="?",
        const="-",
        default="",
        metavar="FILE",
        help="as one JSON object, to FILE or, alone or with -, to stdout",
    )
    evaluate.set_defaults(verb=_run_evaluate)


def _generate(verbs: "_Verbs") -> None:
    generate = verbs.add_parser("generate", help="write text with a checkpoint")
    generate.add_argument("checkpoint", help="RUN, RUN@best, RUN@last, RUN@500 or a path")
    source = generate.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="what the text begins with")
    source.add_argument(
        "--prompts",
        metavar="FILE",
        help='one prompt per line, with \\n for a new line; if .jsonl, {"prompt": …} per line',
    )
    generate.add_argument("--samples", type=int, default=1, help="texts per prompt")
    generate.add_argument(
        "--output", metavar="FILE", default="", help="write there, as JSON lines if .jsonl"
    )
    generate.add_argument("--temperature", type=float, help="0 is greedy")
    generate.add_argument("--top-k", type=int, help="draw from the K likeliest tokens")
    generate.add_argument("--top-p", type=float, help="draw from the likeliest part, at most 1")
    generate.add_argument("--repetition-penalty", type=float, help="at least 1, which is off")
    generate.add_argument("--max-tokens", type=int, help="the longest text")
    generate.add_argument(
        "--stop",
        action="append",
        metavar="TEXT",
        help="end before it, with \\n for a new line; repeatable; '' switches the preset's off",
    )
    generate.add_argument("--seed", type=int, help="of the first sample; the next has one more")
    generate.add_argument("--greedy", action="store_true", help="always the likeliest token")
    generate.add_argument("--batch", type=int, metavar="N", help="texts at once; else what fits")
    generate.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    generate.add_argument("--json", action="store_true", help="one JSON object per text")
    generate.set_defaults(verb=_run_generate)


def _bench(verbs: "_Verbs") -> None:
    bench = verbs.add_parser("bench", help="how fast a preset trains here, and what is fastest")
    bench.add_argument(
        "preset", nargs="?", default="stories-tiny", help="name of a preset, or a .toml file"
    )
    bench.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help=_SET_HELP,
    )
    bench.add_argument(
        "--seconds", type=float, default=30.0, help="how long to measure; 30 if not given"
    )
    bench.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    bench.add_argument("--json", action="store_true", help="as one JSON object")
    bench.set_defaults(verb=_run_bench)


# Each verb imports what it needs when it runs: `slm-tui --version` loads none of it.


def _app(options: argparse.Namespace) -> int:
    from slm_tui.commands.app import open_app

    open_app(options.run)


def _run_train(options: argparse.Namespace) -> int:
    from slm_tui.commands.train import train

    return train(options)


def _run_presets(options: argparse.Namespace) -> int:
    from slm_tui.commands.presets import presets

    return presets(options)


def _run_data(options: argparse.Namespace) -> int:
    from slm_tui.commands.data import data

    return data(options)


def _run_runs(options: argparse.Namespace) -> int:
    from slm_tui.commands.runs import runs

    return runs(options)


def _follow_run(options: argparse.Namespace) -> int:
    from slm_tui.commands.steer import follow

    return follow(options)


def _steer_run(options: argparse.Namespace) -> int:
    from slm_tui.commands.steer import steer

    return steer(options)


def _run_evaluate(options: argparse.Namespace) -> int:
    from slm_tui.commands.evaluate import evaluate

    return evaluate(options)


def _run_generate(options: argparse.Namespace) -> int:
    from slm_tui.commands.generate import generate

    return generate(options)


def _run_bench(options: argparse.Namespace) -> int:
    from slm_tui.commands.bench import bench

    return bench(options)


def _doctor(options: argparse.Namespace) -> int:
    from slm_tui.commands.doctor import doctor

    return doctor(as_json=options.json)
