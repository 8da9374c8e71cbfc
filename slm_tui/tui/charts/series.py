"""Pure functions on series of points: downsampling, smoothing, ticks, labels, packing."""

import base64
import math
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import le

LIMIT = 400  # points that a drawing may have for one series

Points = tuple[list[float], list[float]]

# Doubles carry 53 bits: no column needs to be narrower than one unit in the last place.
_MANTISSA = 52
_SMALLEST_EXPONENT = -1000


def finite(xs: Sequence[float], ys: Sequence[float]) -> Points:
    """The points with two finite coordinates, in the given order."""
    isfinite = math.isfinite
    points = [(x, y) for x, y in zip(xs, ys, strict=False) if isfinite(x) and isfinite(y)]
    return [x for x, _ in points], [y for _, y in points]


def thin(xs: Sequence[float], ys: Sequence[float], columns: int) -> Points:
    """At most two points for each of `columns` columns: the lowest and the highest.

    Spikes survive and the order of the points is kept. Points that are not finite are
    dropped; points that do not ascend in x are sorted. At most LIMIT points are returned.
    """
    columns = max(1, min(columns, LIMIT // 2))
    count = min(len(xs), len(ys))
    if not _ascending(xs, count):
        pairs = sorted(zip(*finite(xs, ys), strict=True), key=lambda pair: pair[0])
        xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
        count = len(xs)
    if count <= 2 * columns:
        return finite(xs[:count], ys[:count])
    first, half_span = xs[0], xs[count - 1] / 2 - xs[0] / 2
    out_x: list[float] = []
    out_y: list[float] = []
    start = 0
    for column in range(1, columns + 1):
        edge = first + half_span * (2 * column / columns)
        stop = count if column == columns else bisect_left(xs, edge, start, count)
        if stop > start:
            _add_extremes(xs[start:stop], ys[start:stop], out_x, out_y)
        start = stop
    return out_x, out_y


def _ascending(xs: Sequence[float], count: int) -> bool:
    if not count:
        return True
    if not (math.isfinite(xs[0]) and math.isfinite(xs[count - 1])):
        return False
    return all(map(le, islice(xs, count - 1), islice(xs, 1, count)))


def _add_extremes(
    xs: Sequence[float], ys: Sequence[float], out_x: list[float], out_y: list[float]
) -> None:
    # A sum is the cheapest test of a whole column: any non-finite value makes it non-finite.
    if not math.isfinite(sum(ys)):
        xs, ys = finite(xs, ys)
        if not ys:
            return
    low, high = ys.index(min(ys)), ys.index(max(ys))
    for index in (low,) if low == high else (min(low, high), max(low, high)):
        out_x.append(xs[index])
        out_y.append(ys[index])


class ThinnedSeries:
    """A series that is downsampled as it grows, without revisiting old points.

    Columns are as wide as a power of two and start at multiples of it, so that a column's
    points stay in place when new ones arrive; when there are too many columns, each pair of
    columns is merged. So a drawing of a longer series differs only at its end.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        # Columns start at multiples of their width, so that no single one spans zero.
        self._columns = max(2, limit // 2)
        self.clear()

    def clear(self) -> None:
        self._exponent = _SMALLEST_EXPONENT
        self._keys: list[int] = []
        self._lows: list[tuple[float, float]] = []
        self._highs: list[tuple[float, float]] = []

    def extend(self, xs: Iterable[float], ys: Iterable[float]) -> None:
        """Add points; those that are not finite are dropped. x should mostly ascend."""
        for x, y in zip(xs, ys, strict=False):
            if math.isfinite(x) and math.isfinite(y):
                self._add(x, y)

    def points(self) -> Points:
        """The remaining points, ascending in x: at most `limit`."""
        xs: list[float] = []
        ys: list[float] = []
        for low, high in zip(self._lows, self._highs, strict=True):
            for x, y in (low,) if low == high else ((low, high) if low <= high else (high, low)):
                xs.append(x)
                ys.append(y)
        return xs, ys

    def _add(self, x: float, y: float) -> None:
        self._widen_to(math.frexp(x)[1] - _MANTISSA)
        key = self._key(x)
        keys = self._keys
        if keys and not keys[0] <= key < keys[0] + self._columns:
            key = self._make_room(x, key)
        if not keys or key > keys[-1]:
            index, new = len(keys), True
        else:
            index = len(keys) - 1 if key == keys[-1] else bisect_left(keys, key)
            new = keys[index] != key
        if new:
            keys.insert(index, key)
            self._lows.insert(index, (x, y))
            self._highs.insert(index, (x, y))
        elif y < self._lows[index][1]:
            self._lows[index] = (x, y)
        elif y > self._highs[index][1]:
            self._highs[index] = (x, y)

    def _make_room(self, x: float, key: int) -> int:
        first, last = min(self._keys[0], key), max(self._keys[-1], key)
        shift = 0
        while (last >> shift) - (first >> shift) >= self._columns:
            shift += 1
        self._widen_to(self._exponent + shift)
        return self._key(x)

    def _key(self, x: float) -> int:
        key = math.floor(math.ldexp(x, -self._exponent))
        # A tiny negative x underflows to -0.0; its column is the one left of zero.
        return -1 if x < 0 <= key else key

    def _widen_to(self, exponent: int) -> None:
        shift = exponent - self._exponent
        if shift <= 0:
            return
        self._exponent = exponent
        if not self._keys:
            return
        keys, lows, highs = self._keys[:], self._lows[:], self._highs[:]
        self._keys.clear()
        self._lows.clear()
        self._highs.clear()
        for key, low, high in zip(keys, lows, highs, strict=True):
            key >>= shift
            if self._keys and self._keys[-1] == key:
                self._lows[-1] = min(self._lows[-1], low, key=_height)
                self._highs[-1] = max(self._highs[-1], high, key=_height)
            else:
                self._keys.append(key)
                self._lows.append(low)
                self._highs.append(high)


def _height(point: tuple[float, float]) -> float:
    return point[1]


class Smoother:
    """A moving average without lag that can be extended.

    `values[i]` is the height at input i of the line fitted to the first i + 1 inputs by least
    squares, with weights 1, w, w², … from the newest back. A plain average with these weights
    trails a falling curve by w / (1 - w) inputs; the line follows its slope. A value never leaves
    the range of the inputs. An input that is not finite repeats the value before it.
    """

    def __init__(self, weight: float) -> None:
        self.weight = min(max(weight, 0.0), 0.9999)
        self.values: list[float] = []
        # Weighted sums of 1, age and age², and of the inputs and inputs times age.
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._range = (math.inf, -math.inf)

    def extend(self, ys: Iterable[float]) -> None:
        keep, values = self.weight, self.values
        n, ages, squares, total, by_age = self._sums
        low, high = self._range
        isfinite = math.isfinite
        for y in ys:
            if isfinite(y):
                # All inputs age by one.
                squares = keep * (squares + 2 * ages + n)
                ages = keep * (ages + n)
                n = keep * n + 1
                by_age = keep * (by_age + total)
                total = keep * total + y
                low, high = min(low, y), max(high, y)
                spread = n * squares - ages * ages
                mean = total / n
                # Two inputs make a line through both: it takes some to have a slope.
                line = (squares * total - ages * by_age) / spread if n > 3 and spread > 0 else mean
                line = line if isfinite(line) else mean
                values.append(min(max(line, low), high))
            else:
                values.append(values[-1] if values else math.nan)
        self._sums = n, ages, squares, total, by_age
        self._range = low, high


def ema(ys: Sequence[float], weight: float) -> list[float]:
    """`ys` smoothed; the result has the same length. See Smoother."""
    smoother = Smoother(weight)
    smoother.extend(ys)
    return smoother.values


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most `count` round values (1, 2 or 5 times a power of ten apart) in [low, high]."""
    if not (math.isfinite(low) and math.isfinite(high)) or count < 1:
        return []
    if low >= high:
        return [low] if low == high else []
    half = max(high / 2 - low / 2, 1e-300)  # the halves keep the widest range from overflowing
    exponent = math.floor(math.log10(half) + math.log10(2 / count)) - 1
    for power in range(exponent, exponent + 4):
        for digit in (1, 2, 5):
            values = _multiples(low, high, digit, power, count)
            if values is not None:
                return values
    return []


def _multiples(low: float, high: float, digit: int, power: int, count: int) -> list[float] | None:
    """The multiples of digit · 10^power in [low, high]; None if there are more than `count`."""
    if not -300 <= power <= 300:
        return None
    up, down = 10 ** max(power, 0) * digit, 10 ** max(-power, 0)
    step = up / down
    first, last = math.ceil(low / step), math.floor(high / step)
    if last - first + 1 > count:
        return None
    # Dividing whole numbers rounds once; adding up steps would give 0.30000000000000004.
    values = (number * up / down for number in range(first, last + 1))
    return [value for value in dict.fromkeys(values) if low <= value <= high]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """At most `count` round values in [low, high], `low` > 0, for a logarithmic axis."""
    if not (0 < low < high and math.isfinite(high)) or count < 1:
        return ticks(low, high, count) if low > 0 else []
    bottom, top = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for digits in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3)):
        values = _decades(low, high, bottom, top, digits, 1)
        if 2 <= len(values) <= count:
            return values
    dense = _decades(low, high, bottom, top, (1, 2, 5), 1)
    if len(dense) <= 2 * count and top - bottom <= 3:
        # Every other one, including the lowest: curves end down there.
        thinned = dense[::-1][(len(dense) - 1) % 2 :: 2][::-1]
        if 2 <= len(thinned) <= count:
            return thinned
    for stride in range(1, max(2, top - bottom + 1)):
        values = _decades(low, high, bottom, top, (1,), stride)
        if 2 <= len(values) <= count:
            return values
    return ticks(low, high, count)


def _decades(
    low: float, high: float, bottom: int, top: int, digits: Sequence[int], stride: int
) -> list[float]:
    powers = range(-(-bottom // stride) * stride, top + 1, stride)
    values = (float(f"{digit}e{power}") for power in powers for digit in digits)
    return [value for value in values if low <= value <= high]


_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200)


def time_ticks(low: float, high: float, count: int) -> list[float]:
    """At most `count` round times in seconds: whole seconds, minutes, hours or days."""
    if not (math.isfinite(low) and math.isfinite(high)) or high - low < 2 or high > 1e9:
        return ticks(low, high, count)
    for step in (*_SECONDS, *(86400 * days for days in (1, 2, 5, 10, 20, 50, 100, 1000, 10000))):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first + 1 <= count:
            return [float(number * step) for number in range(first, last + 1)]
    return []


def label(value: float, digits: int = 3) -> str:
    """`value` in few characters, with at most `digits` significant digits.

    1500 -> `1.5k`, 2000000 -> `2M`, 0.0002 -> `2e-4`, 0.25 -> `0.25`.
    """
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    size = abs(value)
    for unit, factor in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if (factor if unit else 1e-3) <= size < factor * 1000:
            return _plain(value / factor, digits) + unit
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    return f"{_without_zeros(mantissa)}e{int(exponent)}"


def _plain(value: float, digits: int) -> str:
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _without_zeros(f"{value:.{decimals}f}")


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def labels(values: Sequence[float]) -> list[str]:
    """Short labels for `values` with just enough digits that no two are the same."""
    texts: list[str] = []
    for digits in range(3, 17):
        texts = [label(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def time_label(seconds: float) -> str:
    """A time on an axis: `0:45`, `12:30`, `2h`, `1h30`, `3d`."""
    if seconds < 0 or not math.isfinite(seconds):
        return label(seconds)
    if not float(seconds).is_integer():
        return label(seconds) + "s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours >= 24 and not hours % 24 and not minutes:
        return f"{hours // 24}d"
    return f"{hours}h{minutes:02d}" if minutes else f"{hours}h"


def pack(values: Iterable[float]) -> str:
    """Values as text for the plot process: base64 of doubles, ten times faster than JSON."""
    return base64.b64encode(array("d", values).tobytes()).decode("ascii")


def unpack(text: str) -> list[float]:
    """What `pack` packed."""
    values = array("d")
    values.frombytes(base64.b64decode(text))
    return values.tolist()
