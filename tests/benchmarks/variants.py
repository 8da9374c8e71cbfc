"""Variants of a preset on the text of a race: which one has the lowest loss for its time.

All variants and seeds train in turns, a few steps each, so that other load on the machine affects
them equally. The first variant, without changes, is the reference of all ratios. The loss is over
the whole validation split.

    python -m tests.benchmarks.variants PRESET [--text FILE] [--seeds 2] [VARIANT …]

A variant is a list of changes: `training.max_steps=80,model.n_layer=1`. With `--all` every variant
also has these changes: `--all training.max_steps=50`.
"""

import argparse
import statistics

import torch

from slm_tui.config import library, overrides, text_location
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.training.allocator import keep_big_blocks
from slm_tui.training.race import Runner

_TURN_STEPS = 5


def changed(preset: Preset, variant: str) -> Preset:
    """The preset with the changes of a variant; commas separate them."""
    return overrides.apply(preset, [change for change in variant.split(",") if change])


def runners(
    preset: Preset, variants: list[str], seeds: int, window: int
) -> dict[str, list[Runner]]:
    """For each variant a runner per seed."""
    result: dict[str, list[Runner]] = {}
    for variant in variants:
        for seed in range(1, seeds + 1):
            chosen = changed(preset, f"training.seed={seed},{variant}")
            steps = chosen.training.max_steps
            runner = Runner(chosen, prepare(chosen), steps, window)
            result.setdefault(variant, []).append(runner)
    return result


def train(variants: dict[str, list[Runner]]) -> None:
    """Train all in turns to the end of their schedules, and evaluate them."""
    waiting = [runner for those in variants.values() for runner in those]
    while waiting:
        runner = min(waiting, key=lambda one: one.done)
        runner.train(_TURN_STEPS)
        if runner.done >= 1:
            runner.mark()
            waiting.remove(runner)


def lines(variants: dict[str, list[Runner]]) -> list[str]:
    """A table: mean loss, its range over seeds, and processor time per step and in all."""
    reference = next(iter(variants.values()))
    base = statistics.fmean(runner.cpu_seconds for runner in reference)
    rows = ["   loss   range  CPU s  ratio  ms/step    weights  variant"]
    for name, those in variants.items():
        losses = [runner.marks[-1].loss for runner in those]
        cpu = statistics.fmean(runner.cpu_seconds for runner in those)
        rows.append(
            f"{statistics.fmean(losses):7.4f} {max(losses) - min(losses):7.4f} {cpu:6.2f} "
            f"{cpu / base:6.3f} {1000 * cpu / those[0].step:8.1f} {those[0].parameters:10,}"
            f"  {name or 'reference'}"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("variants", nargs="*")
    parser.add_argument("--text", default="")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--window", type=int, default=64, help="tokens per window to evaluate on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--all", default="", dest="shared")
    options = parser.parse_intermixed_args()
    keep_big_blocks()
    torch.set_num_threads(options.threads)
    preset = library.get(options.preset)
    if options.text:
        preset = text_location.reading(preset, options.text)
    preset = changed(preset, options.shared)
    racing = runners(preset, ["", *options.variants], options.seeds, options.window)
    train(racing)
    print("\n".join(lines(racing)))


if __name__ == "__main__":
    main()
