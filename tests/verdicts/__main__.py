"""`python -m tests.verdicts`: train the grid and the remedies of its verdicts.

The figures are appended to `figures.jsonl` next to this file; a run that is in there already is not
trained again. `--table` writes docs/verdicts.md from the figures alone.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from slm_tui.config.preset import Preset
from tests.verdicts import grid, muon_table, table
from tests.verdicts.measure import measure_values

FIGURES = Path(__file__).with_name("figures.jsonl")
MUON_FIGURES = Path(__file__).with_name("figures-muon.jsonl")
_REPORT = Path(__file__).parents[2] / "docs" / "verdicts.md"
# Other rates that are tried where the rate is far from the middle of the grid.
_LOWER, _HIGHER, _TOO_HIGH, _TOO_LOW = 1 / 10, 10, 0.03, 1e-4
_MOST_REMEDIES, _MOST_FIRINGS = 4, 26

Key = tuple[int, tuple[str, ...]]


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.verdicts", description=__doc__)
    parser.add_argument("--text", type=Path, help="a text of plays, for a part of the grid")
    parser.add_argument("--runs", type=int, default=140, help="runs of the grid")
    parser.add_argument("--muon", action="store_true", help="the grid with Muon, all of its runs")
    parser.add_argument("--minutes", type=float, default=60, help="stop after this time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at once")
    parser.add_argument("--table", action="store_true", help="only write docs/verdicts.md")
    options = parser.parse_args()
    if not options.table:
        _train(options)
    _REPORT.write_text(table.report(table.read(FIGURES), table.read(MUON_FIGURES)))
    print(f"wrote {_REPORT}")


def _train(options: argparse.Namespace) -> None:
    text = options.text.resolve() if options.text else None
    bases = grid.muon_presets(text) if options.muon else grid.presets(options.runs, text)
    stored = MUON_FIGURES if options.muon else FIGURES
    done = {(one["run"], tuple(one["changes"])): one for one in table.read(stored)}
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory(prefix="slm-tui-verdicts-") as home:
        os.environ["SLM_TUI_HOME"] = home
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(options.jobs, context) as pool, stored.open("a") as file:
            waiting = _work(bases, done)
            pending: dict[Future[dict[str, Any]], tuple[Key, str]] = {}
            while True:
                while len(pending) < options.jobs and time.monotonic() < end:
                    following = next(waiting, None)
                    if following is None:
                        break
                    key, name, preset = following
                    pending[pool.submit(measure_values, preset.to_dict())] = key, name
                if not pending:
                    break
                for future in wait(pending, return_when=FIRST_COMPLETED).done:
                    key, name = pending.pop(future)
                    figures = {"run": key[0], "text": name, "changes": list(key[1])}
                    figures |= _settings(bases[key[0]][1]) | future.result()
                    done[key] = figures
                    file.write(json.dumps(figures) + "\n")
                    file.flush()
                    words = ", ".join(one["word"] for one in figures["verdicts"])
                    print(len(done), *key, figures["best"], words, flush=True)


def _work(
    bases: list[tuple[str, Preset]], done: dict[Key, dict[str, Any]]
) -> Iterator[tuple[Key, str, Preset]]:
    """The runs still to train: each base, then what its verdicts ask for, rare verdicts first."""
    for number, (name, preset) in enumerate(bases):
        key: Key = (number, ())
        if key not in done:
            yield key, name, preset
    found = {number: done[(number, ())] for number in range(len(bases)) if (number, ()) in done}
    if bases[0][1].optimizer.kind == "muon":
        # The grid has the other rates; the other verdicts are measured with AdamW.
        asked = [*_remedies(found, muon_table.RATE_WORDS, 1)]
    else:
        asked = [*_other_rates(bases), *_remedies(found)]
    for key in dict.fromkeys(asked):
        if key not in done:
            name, preset = bases[key[0]]
            yield key, name, grid.changed(preset, key[1])


def _other_rates(bases: list[tuple[str, Preset]]) -> Iterator[Key]:
    """Runs that show whether a verdict about the rate is right, or missing."""
    for number, (_, preset) in enumerate(bases):
        rate = preset.optimizer.learning_rate
        factor = _LOWER if rate >= _TOO_HIGH else _HIGHER if rate <= _TOO_LOW else None
        if factor is not None:
            yield number, (f"optimizer.learning_rate={rate * factor:.2g}",)


def _remedies(
    found: dict[int, dict[str, Any]], words: Collection[str] = (), most: int = _MOST_REMEDIES
) -> Iterator[Key]:
    """The first remedies of each verdict, or of these, up to a number of runs for each."""
    by_word: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for number, figures in found.items():
        for verdict in figures["verdicts"]:
            if verdict["remedies"] and (not words or verdict["word"] in words):
                by_word.setdefault(verdict["word"], []).append((number, verdict))
    for _, firings in sorted(by_word.items(), key=lambda item: len(item[1])):
        for number, verdict in firings[:_MOST_FIRINGS]:
            for remedy in verdict["remedies"][:most]:
                yield number, tuple(remedy["changes"])


def _settings(preset: Preset) -> dict[str, Any]:
    return {
        "layers": preset.model.layers,
        "rate": preset.optimizer.learning_rate,
        "hidden_rate": preset.optimizer.muon_learning_rate,
        "width": getattr(preset.model, "n_embd", None),
        "steps": preset.training.max_steps,
        "schedule": preset.schedule.kind,
    }


if __name__ == "__main__":
    main()
