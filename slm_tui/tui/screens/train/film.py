"""Samples of several steps side by side, newest last, on a large terminal."""

from collections.abc import Iterator, Sequence

from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget

from slm_tui.runs.curves import Sample
from slm_tui.text import visible
from slm_tui.tui.widgets.lines import Lines

# A line of fewer cells is hard to read.
_LEAST_WIDTH = 38
_MOST_FRAMES = 8


def sample_body(sample: Sample) -> list[Content]:
    """The prompt and its continuation, line by line."""
    body = Content.assemble((visible(sample.prompt), "bold"), visible(sample.text))
    return list(body.split("\n", allow_blank=True))


def chosen_steps(steps: Sequence[int], count: int) -> list[int]:
    """`count` of the ascending `steps`: the first, the last, and more of the early ones between
    them, as a model changes most at the start."""
    if len(steps) <= count:
        return list(steps)
    if count < 2:
        return list(steps[-1:])
    chosen = {0, len(steps) - 1}
    first, last = steps[0], steps[-1]
    for number in range(1, count - 1):
        target = first + (last - first) * (number / (count - 1)) ** 2
        free = [at for at in range(len(steps)) if at not in chosen]
        chosen.add(min(free, key=lambda at: abs(steps[at] - target)))
    return [steps[at] for at in sorted(chosen)]


class Film(Horizontal):
    """One pane for each chosen step; `z` zooms the focused one."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._frames = [Lines("", f"frame-{number}") for number in range(_MOST_FRAMES)]
        self._samples: list[Sample] = []
        self._losses: dict[int, str] = {}

    def compose(self) -> Iterator[Lines]:
        yield from self._frames

    def show(self, samples: Sequence[Sample], losses: dict[int, str]) -> None:
        """Show `samples`, which ascend by step.

        Args:
            losses: the validation loss as text, by the step of its evaluation.
        """
        self._samples, self._losses = list(samples), losses
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    @property
    def steps(self) -> list[int]:
        """The steps that are shown, newest last."""
        steps = list(dict.fromkeys(sample.step for sample in self._samples))
        return chosen_steps(steps, max(1, min(_MOST_FRAMES, self.size.width // _LEAST_WIDTH)))

    def sample_in(self, frame: Widget) -> Sample | None:
        """The sample in one of the frames; of several prompts the last."""
        shown = dict(zip(self._frames, self.steps, strict=False))
        step = shown.get(frame) if isinstance(frame, Lines) else None
        return next((one for one in reversed(self._samples) if one.step == step), None)

    def _draw(self) -> None:
        steps = self.steps
        for number, frame in enumerate(self._frames):
            frame.display = number < max(1, len(steps))
        if not steps:
            self._entitle(self._frames[0], "samples")
            self._frames[0].show([Content.styled("No samples yet. g writes one.", "dim")])
        for frame, step in zip(self._frames, steps, strict=False):
            self._entitle(frame, f"step {step:,}{self._loss_at(step)}")
            lines: list[Content] = []
            for sample in self._samples:
                if sample.step == step:
                    lines += [*sample_body(sample), Content("")]
            frame.show(lines)
            frame.set_class(step == steps[-1], "-newest")

    def _loss_at(self, step: int) -> str:
        """The validation loss of the newest evaluation until `step`."""
        before = [one for one in self._losses if one <= step]
        return f" · val {self._losses[before[-1]]}" if before else ""

    @staticmethod
    def _entitle(frame: Lines, title: str) -> None:
        # Setting the same text would repaint the whole pane.
        if frame.border_title != title:
            frame.border_title = title
