"""The report of `slm-tui data` on a corpus: splits, statistics, and what they mean."""

from dataclasses import asdict
from itertools import zip_longest

from slm_tui.commands import output
from slm_tui.commands.options import SPLITS
from slm_tui.commands.progress_line import bar
from slm_tui.config.estimate import COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER
from slm_tui.config.preset import Preset
from slm_tui.corpus.data_verdict import verdicts
from slm_tui.corpus.overlap import WORDS
from slm_tui.corpus.prepare import Corpus
from slm_tui.corpus.split import PARTS
from slm_tui.corpus.statistics import (
    RARE,
    Plan,
    Statistics,
    TokenCount,
    measure,
    plan,
    shown,
)
from slm_tui.formatting import count, ratio_text, size
from slm_tui.text import one_line, pad

_SHOWN_TOKENS = 20
_SHOWN_NOTES = 5
# The split that each part of a corpus holds.
_SPLIT = dict(zip(PARTS, SPLITS, strict=True))


def print_prepared(preset: Preset, corpus: Corpus, *, as_json: bool) -> None:
    """Print how many tokens each split has, and where the corpus is."""
    parts = corpus.manifest["parts"]
    if as_json:
        values = {"preset": preset.name, "path": str(corpus.directory), "parts": parts}
        output.say_json({**values, "left_out": corpus.manifest["left_out"]})
        return
    words = [
        f"{_SPLIT[name]} {count(parts[name]['tokens'])} tokens"
        for name in PARTS
        if parts[name]["tokens"]
    ]
    output.say(f"{preset.name} is prepared: {', '.join(words)}")
    for note in corpus.notes[:_SHOWN_NOTES]:
        output.say(f"text: {one_line(note, 300)}")
    output.say(str(corpus.directory))


def print_statistics(preset: Preset, corpus: Corpus, *, as_json: bool) -> None:
    """Print documents, tokens, lengths, and what they mean for training."""
    statistics, planned = measure(corpus), plan(preset, corpus)
    if as_json:
        findings = [one.to_dict() for one in verdicts(preset, statistics, planned)]
        values = {"preset": preset.name, **statistics.to_dict(), **asdict(planned)}
        values["verdicts"] = findings
        output.say_json(values)
        return
    output.say("\n".join(_lines(preset, statistics, planned)))


def _lines(preset: Preset, statistics: Statistics, planned: Plan) -> list[str]:
    lines = [
        f"{preset.name}: {statistics.tokenizer}, {statistics.n_vocab:,} tokens",
        "",
        f"{'':10}{'documents':>10}{'tokens':>9}{'bytes':>9}{'bytes/token':>13}"
        f"{'shortest':>10}{'mean':>10}{'longest':>10}",
    ]
    for name, part in statistics.parts.items():
        if part.tokens:
            lines.append(
                f"{_SPLIT[name]:10}{part.documents:>10,}{count(part.tokens):>9}{size(part.bytes):>9}"
                f"{part.bytes_per_token:>13.2f}{part.shortest:>10,}"
                f"{part.mean_length:>10,.0f}{part.longest:>10,}"
            )
    if statistics.tokenizer != "bytes":
        lines.append("document lengths in bytes:")
        lines += [
            f"{_SPLIT[name]:10}{'':41}{part.shortest_bytes:>10,}"
            f"{part.mean_bytes:>10,.0f}{part.longest_bytes:>10,}"
            for name, part in statistics.parts.items()
            if part.tokens
        ]
    epochs = "none: the text is shorter than a window"
    if planned.epochs is not None:
        epochs = f"{ratio_text(planned.epochs)} of {planned.sequences_per_epoch:,} sequences"
    lines += [
        "",
        f"tokens per parameter  {ratio_text(planned.tokens_per_parameter)} "
        f"(about {COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is compute-optimal)",
        f"epochs                {epochs}",
        f"vocabulary used       {statistics.distinct:,} of {statistics.ordinary:,} tokens, "
        f"{statistics.rare:,} of them fewer than {RARE} times",
        f"duplicates removed    {statistics.duplicates_removed:,}",
    ]
    for name, overlap in statistics.leakage.items():
        lines.append(
            f"leakage of {_SPLIT[name]:<10} {overlap['share']:.2%} of {overlap['runs']:,} "
            f"word {WORDS}-grams{' (sampled)' if overlap['sampled'] else ''}"
        )
    if statistics.floor is not None:
        lines.append(f"floor                 {statistics.floor:.4f} bits per byte")
    lines.append("")
    for verdict in verdicts(preset, statistics, planned):
        lines.append(f"{'✓' if verdict.is_fine else '▲'} {verdict.text}")
        lines += [f"  → {verdict.why}"] if verdict.why else []
    return [
        *lines,
        *_length_lines(statistics),
        *_token_lines(statistics),
        *_byte_lines(statistics),
        *_analysis_lines(statistics),
    ]


def _length_lines(statistics: Statistics) -> list[str]:
    bins = statistics.parts["train"].histogram(12)
    if len(bins) < 2:
        return []
    most = max(one.documents for one in bins)
    lines = ["", "training documents by length in tokens"]
    for one in bins:
        filled = bar(one.documents / most, 40).rstrip("░")
        lines.append(f"{one.low:>9,}–{one.high - 1:<9,} {one.documents:>9,} {filled}")
    return lines


def _token_lines(statistics: Statistics) -> list[str]:
    total = max(1, statistics.parts["train"].tokens)
    lines = ["", f"{'most frequent tokens':<39}  rarest tokens"]
    rows = zip_longest(statistics.frequent[:_SHOWN_TOKENS], statistics.rarest[:_SHOWN_TOKENS])
    for frequent, rare in rows:
        left = f"{_name(frequent)} {frequent.count:>11,} {frequent.count / total:7.2%}"
        lines.append(f"{left}  {_name(rare)} {rare.count:>9,}" if rare else left)
    return lines


def _name(token: TokenCount) -> str:
    return pad(f"'{one_line(shown(token.data), 16)}'", 18, right=True)


def _byte_lines(statistics: Statistics) -> list[str]:
    """How often each byte occurs, for byte-level models: 8 rows of 32."""
    counts = statistics.byte_counts
    if not counts:
        return []
    most, blocks = max(counts), " ▁▂▃▄▅▆▇█"
    bars = [blocks[max(int(one > 0), round(8 * (one / most) ** 0.5))] for one in counts]
    lines = ["", "byte frequencies, square-root scale"]
    return lines + [f"{at:02x}  {''.join(bars[at : at + 32])}" for at in range(0, 256, 32)]


def _analysis_lines(statistics: Statistics) -> list[str]:
    analysis = statistics.analysis
    if analysis is None:
        return []
    merges = [f"{_plain(one.left)}+{_plain(one.right)}" for one in analysis.merges]
    lines = ["", "first merges"]
    lines += [f"  {'  '.join(merges[at : at + 10])}" for at in range(0, len(merges), 10)]
    lines += ["", "bytes per token by vocabulary size"]
    lines += [f"{size:>9,}  {value:.2f}" for size, value in analysis.sizes]
    lines += ["", "how words are tokenized, frequent to rare"]
    for word, parts in analysis.examples:
        lines.append(f"  {pad(one_line(word), 20)} {'·'.join(map(_plain, parts))}")
    return lines


def _plain(data: bytes) -> str:
    return one_line(shown(data).replace(" ", "␣"))
