"""Samples of several runs side by side: the same prompt at the same step."""

from collections.abc import Sequence
from dataclasses import dataclass

from slm_tui.experiments.report import ComparedRun, RunsReport
from slm_tui.runs.curves import Curves, Sample


@dataclass(frozen=True)
class ComparedSample:
    """A sample of the first seed of a variation."""

    label: str
    step: int
    prompt: str
    text: str


def side_by_side(report: RunsReport, most: int = 12) -> list[ComparedSample]:
    """A sample of each variation, best first: at the last step at which all have one, with the
    first prompt that all have; without such a step, each at its own last step."""
    firsts = {one.label: one for one in reversed(report.runs)}
    found = {row.name: _samples(firsts[row.name]) for row in report.rows[:most]}
    found = {name: samples for name, samples in found.items() if samples}
    steps = [{sample.step for sample in samples} for samples in found.values()]
    common = set.intersection(*steps) if steps else set()
    at = max(common, default=None)
    result = []
    for name, samples in found.items():
        step = at if at is not None else samples[-1].step
        here = [sample for sample in samples if sample.step == step]
        one = _first_common(here, [each for other, each in found.items() if other != name])
        result.append(ComparedSample(name, step, one.prompt, one.text))
    return result


def _samples(one: ComparedRun) -> list[Sample]:
    curves = Curves(one.run)
    curves.read()
    return curves.samples


def _first_common(here: Sequence[Sample], others: Sequence[Sequence[Sample]]) -> Sample:
    """The first sample whose prompt the others have too, or the first one."""
    prompts = [{sample.prompt for sample in samples} for samples in others]
    for sample in here:
        if all(sample.prompt in known for known in prompts):
            return sample
    return here[0]
