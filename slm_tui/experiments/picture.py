"""Pictures of several runs with matplotlib: PNG or SVG, drawn off the UI thread."""

import io
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

from slm_tui.experiments.report import ComparedRun, RunsReport
from slm_tui.runs.curves import Curves
from slm_tui.runs.results import settings_of
from slm_tui.text import one_line

Format = Literal["png", "svg"]
_MOST_LABELS = 20
_COLORS = 10


def overview(report: RunsReport, format: Format = "png") -> bytes:
    """Six charts: loss against parameters, time, vocabulary and channels; all curves; parameters.

    Losses are in bits per byte, which can be compared across tokenizers.
    """
    figure = _figure(15, 8.5, report.title)
    axes = figure.subplots(2, 3)
    runs = [one for one in report.runs if math.isfinite(one.bits_per_byte)]
    for at, (title, label, value) in enumerate(_SCATTERS):
        _scatter(axes.flat[at], runs, title, label, value)
    _curves(axes.flat[4], runs)
    _bars(axes.flat[5], runs)
    return _saved(figure, format)


def comparison(report: RunsReport, format: Format = "png") -> bytes:
    """Four charts: the curves, the ranking with every seed, loss against parameters and time."""
    figure = _figure(13, 9, report.title)
    axes = figure.subplots(2, 2)
    runs = [one for one in report.runs if math.isfinite(one.bits_per_byte)]
    _curves(axes.flat[0], runs)
    _ranking(axes.flat[1], report)
    for at, (title, label, value) in enumerate(_SCATTERS[:2], 2):
        _scatter(axes.flat[at], runs, title, label, value)
    return _saved(figure, format)


def _plain(text: str) -> str:
    """A name of others without what matplotlib would read as a formula, or not show."""
    return one_line(text, 40).replace("$", r"\$")


def _figure(width: float, height: float, title: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_plain(title))
    return figure


def _saved(figure: Any, format: Format) -> bytes:
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is shown as boxes.
        warnings.simplefilter("ignore")
        figure.savefig(picture, dpi=110, format=format)
    return picture.getvalue()


def _fact(one: ComparedRun, name: str) -> float | None:
    value = one.info.facts.get(name)
    return float(value) if isinstance(value, int | float) else None


def _channels(one: ComparedRun) -> float | None:
    value = settings_of(one.preset).get("n_embd")
    return float(value) if isinstance(value, int | float) else None


_SCATTERS: tuple[tuple[str, str, Callable[[ComparedRun], float | None]], ...] = (
    ("parameters and loss", "parameters", lambda one: _fact(one, "parameters")),
    ("time and loss", "seconds of training", lambda one: one.info.elapsed_seconds),
    ("vocabulary and loss", "tokens in the vocabulary", lambda one: _fact(one, "n_vocab")),
    ("channels and loss", "channels of the embedding", _channels),
)


def _scatter(
    axes: Any,
    runs: Sequence[ComparedRun],
    title: str,
    label: str,
    value: Callable[[ComparedRun], float | None],
) -> None:
    points = [(value(one), one.bits_per_byte, one.label) for one in runs]
    known = [(x, y, name) for x, y, name in points if x is not None]
    names = list(dict.fromkeys(one.label for one in runs))
    axes.set(title=title, xlabel=label, ylabel="best bits per byte")
    axes.grid(alpha=0.3)
    if not known:
        return
    colors = [f"C{names.index(name) % _COLORS}" for _, _, name in known]
    axes.scatter([x for x, _, _ in known], [y for _, y, _ in known], c=colors, alpha=0.8)
    if min(x for x, _, _ in known) > 0:
        axes.set_xscale("log")
    seen: set[str] = set()
    for x, y, name in known:
        if name not in seen and len(seen) < _MOST_LABELS:
            seen.add(name)
            axes.annotate(
                _plain(name), (x, y), fontsize=7, xytext=(4, 3), textcoords="offset points"
            )


def _curves(axes: Any, runs: Sequence[ComparedRun]) -> None:
    """The validation curve of every run; seeds of a variation share a color."""
    axes.set(title="validation loss", xlabel="step (optimizer updates)", ylabel="bits per byte")
    axes.grid(alpha=0.3)
    labels = list(dict.fromkeys(one.label for one in runs))
    drawn: set[str] = set()
    for one in runs:
        curves = Curves(one.run)
        curves.read()
        at = labels.index(one.label)
        name = _plain(one.label) if one.label not in drawn and len(drawn) < _MOST_LABELS else None
        drawn.add(one.label)
        evaluations = curves.evaluations
        style = "-" if at < _COLORS else "--"
        axes.plot(
            evaluations.step,
            evaluations.bits_per_byte,
            style,
            color=f"C{at % _COLORS}",
            label=name,
            linewidth=1.2,
        )
    if drawn:
        axes.legend(fontsize=7)


def _bars(axes: Any, runs: Sequence[ComparedRun]) -> None:
    first: dict[str, float] = {}
    for one in runs:
        first.setdefault(_plain(one.label), _fact(one, "parameters") or 0)
    axes.set(title="parameters", xlabel="parameters")
    axes.barh(list(first)[::-1], list(first.values())[::-1])


def _ranking(axes: Any, report: RunsReport) -> None:
    """Each variation with its seeds as dots, and its mean as a line."""
    axes.set(title="best bits per byte, every seed", xlabel="bits per byte")
    axes.grid(alpha=0.3, axis="x")
    if report.ranking is None:
        return
    places = report.ranking.places[::-1]
    names = list(dict.fromkeys(one.label for one in report.runs))
    for at, place in enumerate(places):
        values = list(place.bits.values())
        color = f"C{names.index(place.name) % _COLORS}"
        axes.plot(values, [at] * len(values), "o", alpha=0.6, markersize=5, color=color)
        axes.plot([place.mean, place.mean], [at - 0.3, at + 0.3], color="black", linewidth=1.5)
    axes.set_yticks(range(len(places)), [_plain(place.name) for place in places], fontsize=8)
