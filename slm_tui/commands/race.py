"""`slm-tui race`: the fastest known way to a loss, beside the plain one."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED, stop_event
from slm_tui.commands.progress_line import ProgressLine
from slm_tui.errors import CorpusError, SlmTuiError, cause_of

if TYPE_CHECKING:
    from slm_tui.config.preset import Preset
    from slm_tui.config.race import NamedRace
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.training.race import Runner, SeedResult, Stop

DEFAULT = "stories"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui race`."""
    parser.add_argument(
        "name", nargs="?", default=DEFAULT, help=f"race or .toml file (default: {DEFAULT})"
    )
    parser.add_argument("--list", action="store_true", help="list the races")
    parser.add_argument(
        "--seeds", type=shared.whole, default=10, metavar="N", help="how many seeds (default: 10)"
    )
    parser.add_argument(
        "--first-seed",
        type=shared.whole,
        default=1,
        metavar="N",
        help="the first of them (default: 1)",
    )
    shared.add_text(parser, "text of the race; any text but its own has no fixed target")
    shared.add_threads(parser)
    shared.add_device(parser)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        dest="assignments",
        help="change one setting of the fast recipe; repeat to change more",
    )
    shared.add_json(parser, "print one JSON object per seed, then one for the race")
    parser.set_defaults(command=race)


def race(options: argparse.Namespace) -> int:
    """Run the command; returns 1 if no seed reached the target, 130 if interrupted."""
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    from slm_tui.config import race as races

    if options.list:
        for name in races.names():
            output.say(f"{name:16} {races.get(name).race.title}")
        return 0
    if options.seeds < 1:
        raise SlmTuiError("--seeds must be at least 1", "", "try --seeds 3")
    return _Command(options, races.get(options.name)).run()


class _Command:
    def __init__(self, options: argparse.Namespace, race: "NamedRace") -> None:
        from slm_tui.config import library, overrides

        self._options, self._race = options, race
        self._target = race.race.target
        self._plain = self._configured(library.get(race.race.plain))
        fast = self._configured(library.get(race.race.fast))
        self._fast = overrides.apply(fast, options.assignments)
        first = options.first_seed
        self._seeds = range(first, first + options.seeds)
        self._line = ProgressLine(sys.stderr)

    def _configured(self, preset: "Preset") -> "Preset":
        """With the text, device and threads of the command line."""
        from slm_tui.config import overrides, text_location

        options = self._options
        if options.text:
            preset = text_location.reading(preset, options.text)
        settings = {"device": options.device, "threads": options.threads}
        changes = [f"training.{name}={value}" for name, value in settings.items() if value]
        return overrides.apply(preset, changes)

    def run(self) -> int:
        """All seeds, one after another, and the record."""
        from slm_tui.experiments import race_record

        results: list[SeedResult] = []
        corpus, commit = self._corpus(), race_record.current_commit()
        with stop_event() as stop:
            for seed in self._seeds:
                plain, fast = self._runners(corpus, seed)
                one = self._one_seed(plain, fast, stop.is_set)
                if one is None:
                    break
                results.append(one)
                if self._options.json:
                    values = race_record.seed_values(one, marks=False)
                    output.say_json({"event": "seed", **values})
                else:
                    output.say(seed_line(one))
        if not results:
            return INTERRUPTED
        values = race_record.record(self._race, plain, fast, results, commit)
        self._store(values)
        if stop.is_set():
            return INTERRUPTED
        return int(not values["summary"]["reached"])

    def _store(self, values: dict[str, Any]) -> None:
        from slm_tui.experiments import race_record

        try:
            stored = str(race_record.write(values))
        except OSError as error:
            stored = ""
            output.say_stderr(f"the record could not be stored: {cause_of(error)}")
        if self._options.json:
            output.say_json({"event": "race", **values, "record": stored})
            return
        output.say(final_line(values))
        if stored:
            output.say(f"record: {stored}")

    def _corpus(self) -> "Corpus":
        """The tokens of both recipes.

        Raises:
            CorpusError: the text is missing, or the recipes do not have the same tokens.
        """
        from slm_tui.corpus.prepare import prepare

        try:
            corpus, other = prepare(self._plain), prepare(self._fast)
        except CorpusError as error:
            text = self._race.race.text
            if self._options.text or not text:
                raise
            raise CorpusError(error.what, error.why, f"use --text FILE with {text}") from None
        if corpus.fingerprint != other.fingerprint:
            raise CorpusError(
                "the two recipes of this race do not train on the same tokens",
                f"{self._plain.name} and {self._fast.name} differ in data or tokenizer",
                "give them the same sections [data] and [tokenizer]",
            )
        digest = str(corpus.manifest["sha256"].get("val.bin", ""))
        if self._target is not None and digest != self._race.race.validation_sha256:
            self._target = None
            output.say_stderr(
                "this is not the text that the target belongs to: "
                "the target is now the loss that the plain recipe ends at"
            )
        return corpus

    def _runners(self, corpus: "Corpus", seed: int) -> tuple["Runner", "Runner"]:
        """The plain and the fast one, with the same number of threads."""
        from slm_tui.config import overrides
        from slm_tui.training.race import Runner
        from slm_tui.training.threads import Threads

        changes, race = [f"training.seed={seed}"], self._race.race
        plain = overrides.apply(self._plain, changes)
        fast = overrides.apply(self._fast, changes)
        work = plain.tokens_per_step * plain.model.width
        Threads(plain.training.threads, work=work)
        return (
            Runner(plain, corpus, race.plain_every, race.window),
            Runner(fast, corpus, race.fast_every, race.window),
        )

    def _one_seed(self, plain: "Runner", fast: "Runner", stop: "Stop") -> "SeedResult | None":
        """The race with one seed; `None` if it was interrupted."""
        from slm_tui.training import race as racing

        seed, last = plain.preset.training.seed, self._seeds[-1]
        try:
            for _ in racing.run_seed(plain, fast, self._target, stop):
                text = f"seed {seed} (up to {last}): plain {plain.done:.0%}, fast {fast.done:.0%}"
                self._line.show(lambda _, text=text: text)  # type: ignore[misc]
        finally:
            self._line.clear()
        return None if stop() else racing.result(plain, fast, self._target)


def seed_line(one: "SeedResult") -> str:
    """The result of one seed on a line."""
    plain = f"plain {one.plain.loss:.4f} after {one.plain.seconds:.1f} s"
    reached = one.reached
    if reached is None:
        return f"seed {one.seed}: {plain}; fast did not reach {one.target:.4f}: {one.fast.loss:.4f}"
    return (
        f"seed {one.seed}: {plain}; fast {reached.loss:.4f} after {reached.seconds:.1f} s "
        f"({reached.step} steps): × {one.ratio:.3f}, processor time × {one.cpu_ratio:.3f}"
    )


def final_line(values: dict[str, Any]) -> str:
    """The result of a race on one line, with all that is needed to check it."""
    total, machine, versions = values["summary"], values["machine"], values["versions"]
    seeds, reached = total["seeds"], total["reached"]
    found = f"{reached} of {seeds} seeds reached {total['target']:.4f}"
    if reached:
        spread = total["ratio_deviation"]
        found += (
            f" in {total['seconds']:.1f} s, × {total['ratio']:.3f}"
            + (f" ± {spread:.3f}" if spread is not None else "")
            + f" of plain (processor time × {total['cpu_ratio']:.3f})"
        )
    bf16 = "bf16" if machine["native_bf16"] else "no bf16"
    where = f"{machine['device']}, {machine['cores']} cores, {bf16}, {values['threads']} threads"
    commit = f" at {values['commit']}" if values["commit"] else ""
    return (
        f"{values['race']}: {found}; plain {total['plain_loss']:.4f} in "
        f"{total['plain_seconds']:.1f} s | {where} | slm-tui {versions['slm-tui']}{commit}, "
        f"torch {versions['torch']}, Python {versions['python']}"
    )
