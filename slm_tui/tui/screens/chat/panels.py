"""What surrounds the chat transcript: title, status, settings, facts. Pure functions."""

import math

from textual.content import Content

from slm_tui.formatting import count
from slm_tui.generation.chat_commands import ChatSettings, stop_words
from slm_tui.live.generation_thread import GenerationStatus, ModelFacts
from slm_tui.text import one_line, pad

_MUTED = "$foreground 60%"
CONTINUES = "continues text"


def fitting(parts: list[str], width: int, between: str = " · ") -> str:
    """As many of the first parts as fit without truncation."""
    shown = parts[:1]
    for part in parts[1:]:
        if len(between.join([*shown, part])) > width:
            break
        shown.append(part)
    return one_line(between.join(shown), max(1, width))


def title(generation: GenerationStatus, name: str, kind: str, width: int) -> Content:
    """Run and step, size, tokenizer, context."""
    facts = generation.facts
    if facts is None:
        return Content(" no model ")
    parts = [
        f"{name} @ {facts.step:,}{kind}",
        CONTINUES,
        f"{count(facts.parameters)} params",
        "bytes" if facts.tokenizer == "bytes" else f"{facts.tokenizer} {facts.n_vocab:,}",
        f"ctx {context(generation)}",
    ]
    return Content(f" {fitting(parts, width - 2)} ")


def context(generation: GenerationStatus) -> str:
    """`18/256`: tokens in the context, of the maximum; `18` if the model has no limit."""
    most = generation.facts.context if generation.facts else 0
    if most is None:
        return f"{generation.context:,}"
    return f"{min(generation.context, most):,}/{most:,}"


def figures(tokens: int, rate: float, invalid_bytes: int) -> str:
    """`60 tokens · 212 tok/s · UTF-8 ✓`."""
    wrong = f"✗ {invalid_bytes} byte{'s' * (invalid_bytes != 1)}"
    return (
        f"{tokens:,} tokens · {count(round(rate))} tok/s · UTF-8 {wrong if invalid_bytes else '✓'}"
    )


def status(generation: GenerationStatus, name: str, waiting: bool) -> Content:
    """The line under the transcript."""
    if generation.state == "loading":
        wait = "; your prompt follows" if waiting else ""
        return Content.styled(f"loading {name}…{wait}", "$text-warning")
    if generation.state == "failed" and generation.error is not None:
        message = "generation failed: see above"
        if not generation.facts:
            message = "no model: F7 chooses another"
        return Content.styled(f"✗ {message}", "$text-error")
    summary = figures(generation.tokens, generation.tokens_per_second, generation.invalid_bytes)
    if generation.state == "generating":
        return Content.assemble(("generating ", "bold $text-success"), summary)
    if generation.ended:
        return Content.styled("press enter to continue from here", _MUTED)
    if generation.state == "ready":
        return Content.styled("type some text for the model to continue", _MUTED)
    return Content("")


def sampling_lines(settings: ChatSettings, width: int) -> list[Content]:
    """The settings, each with a slider and the keys that move it."""
    sampling = settings.sampling
    temperature = min(1.0, sampling.temperature / 2)
    top_k = 1.0 if sampling.top_k is None else min(1.0, math.log(sampling.top_k) / math.log(1000))
    top_p = 1.0 if sampling.top_p is None else sampling.top_p
    rep = (sampling.repetition_penalty - 1) / 1
    off = "off"
    shown_p = off if sampling.top_p is None else f"{sampling.top_p:.2f}"
    rows: list[tuple[str, str, float | None, str]] = [
        ("temperature", f"{sampling.temperature:.2f}", temperature, "t T"),
        ("top-k", str(sampling.top_k or off), top_k, "k K"),
        ("top-p", shown_p, top_p, "p P"),
        ("repetition", f"{sampling.repetition_penalty:.2f}", rep, "/rep"),
        ("seed", str(sampling.seed), None, "s"),
        ("max tokens", f"{sampling.max_tokens:,}", None, "/max"),
        ("samples", str(settings.samples), None, "/samples"),
    ]
    lines = [_row(*row, width) for row in rows]
    lines.append(_wide_row("stop", stop_words(sampling.stop), "/stop", width))
    if settings.is_greedy:
        note = "greedy: most likely token only (g)"
        lines.append(Content.styled(one_line(note, width), "$text-warning"))
    return lines


def _row(label: str, value: str, share: float | None, keys: str, width: int) -> Content:
    room = width - 12 - 8 - 9
    slide = Content(" " * max(0, room))
    if share is not None and room >= 6:
        at = round(max(0.0, min(1.0, share)) * (room - 1))
        slide = Content.assemble(
            ("─" * at, "$accent"), ("●", "$text-accent"), ("─" * (room - 1 - at), _MUTED)
        )
    return Content.assemble(
        (f"{label:<12}", _MUTED), (f"{value:<7} ", "bold"), slide, (f" {keys:<8}", _MUTED)
    )


def _wide_row(label: str, value: str, keys: str, width: int) -> Content:
    shown = one_line(value, max(4, width - 12 - 9))
    return Content.assemble(
        (f"{label:<12}", _MUTED), (pad(shown, width - 12 - 9), "bold"), (f" {keys:<8}", _MUTED)
    )


def fact_lines(
    facts: ModelFacts | None, generation: GenerationStatus, name: str, width: int
) -> list[Content]:
    """What is loaded."""
    if facts is None:
        return [Content.styled("no model loaded", _MUTED)]
    rows = [
        ("run", name),
        ("step", f"{facts.step:,}"),
        ("parameters", count(facts.parameters)),
        ("tokenizer", f"{facts.tokenizer}, {facts.n_vocab:,} tokens"),
        ("context", f"{context(generation)} tokens" + ", no limit" * (facts.context is None)),
    ]
    lines = [
        Content.assemble((f"{label:<12}", _MUTED), one_line(text, max(4, width - 12)))
        for label, text in rows
    ]
    note = Content.styled("It continues text; it is not trained to answer questions.", _MUTED)
    return [*lines, Content(""), *note.wrap(max(10, width))]
