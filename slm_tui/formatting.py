"""Numbers and lists as people read and type them: counts, bytes, times, choices."""

import math
import re
from collections.abc import Sequence
from typing import Any

_WHOLE = re.compile(r"[+-]?(\d+(_\d+)*|\d{1,3}(,\d{3})+)", re.ASCII)
# Above this, not every whole number is exactly representable as a float.
_MOST_EXACT = 2**53


def count(number: float) -> str:
    """`832` `41.3k` `0.83 M` `1.2 B`: three significant digits."""
    if not math.isfinite(number):
        return "–"
    size = abs(number)
    if size < 1000:
        return (
            f"{number:.3g}"
            if isinstance(number, float) and number != int(number)
            else f"{number:.0f}"
        )
    if size < 100_000:
        return f"{_short(number / 1e3)}k"
    if size < 1e9:
        return f"{_short(number / 1e6)} M"
    return f"{_short(number / 1e9)} B" if size < 1e12 else f"{number / 1e12:,.3g} T"


def _short(number: float) -> str:
    size = abs(number)
    return f"{number:.2f}" if size < 10 else f"{number:.1f}" if size < 100 else f"{number:.0f}"


def runs_text(number: int) -> str:
    """`1 run`, `12 runs`."""
    return f"{number:,} run{'s' * (number != 1)}"


def size(number: float) -> str:
    """Bytes as `812 B`, `3.40 MB`, `1.20 GB` (powers of 1000)."""
    for limit, unit in ((1e3, "B"), (1e6, "kB"), (1e9, "MB"), (1e12, "GB")):
        if number < limit:
            scaled = number / (limit / 1e3)
            return f"{scaled:.0f} B" if unit == "B" else f"{_short(scaled)} {unit}"
    return f"{_short(number / 1e12)} TB"


def clock(seconds: float) -> str:
    """Time left as a clock shows it: `02:12`, `1:02:12`, `3d 04h`."""
    if not math.isfinite(seconds):
        return "–"
    whole = max(0, round(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d {hours % 24:02d}h"
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute:02d}:{second:02d}"


def duration(seconds: float) -> str:
    """An estimated time in one unit: `40 s`, `3 min`, `2.5 h`, `4 days`."""
    if not math.isfinite(seconds):
        return "–"
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.0f} days"


def ratio_text(number: float) -> str:
    """A ratio such as epochs or tokens per parameter: `7,500` `160` `2.4` `0.012` `<0.001`."""
    if not math.isfinite(number):
        return "–"
    if number >= 10:
        return f"{number:,.0f}"
    if 0 < number < 0.001:
        return "<0.001"
    return f"{number:.1f}" if number >= 1 else f"{number:.2g}"


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def whole_number(text: str) -> int:
    """The number in `500`, `1,000`, `1_000`, `1e3` or `500.0`. Commas separate thousands.

    Raises:
        ValueError: it is not a whole number.
    """
    stripped = text.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped.replace(",", ""))
    try:
        number = float(stripped)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and abs(number) <= _MOST_EXACT):
        raise ValueError(f"{text!r} is not a whole number, such as 500 or 1,000")
    return int(number)


def finite(value: Any) -> Any:
    """Replace NaN and infinity, which are not JSON, with null."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
