"""The weighted grammar: nodes that write text, count its bits, and find every derivation of it.

A node does two things. `emit` makes random choices, appends the text and returns the bits of the
choices. `match` finds all ways in which the node can produce the text at a position, using only
the text. What a story introduces (the hero's name, the colour of the kite) is stored in slots: a
`Draw` fills slots, a `Copy` repeats them at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log2

Slots = dict[str, str]
Match = tuple[int, Slots, float]  # where the text continues, the slots now, bits spent
Bits = Callable[[int], int]  # Random.getrandbits

_SOUNDS_LIKE_YOU = ("uni", "use", "usual", "uku")
_SILENT_H = ("hour", "honest")


def article(noun: str) -> str:
    """`a` or `an`, depending on the first sound of `noun`."""
    lower = noun.lower()
    vowel = lower[:1] in tuple("aeiou") and not lower.startswith(_SOUNDS_LIKE_YOU)
    return "an" if vowel or lower.startswith(_SILENT_H) else "a"


def capitalised(text: str) -> str:
    """`text` with a capital first letter and the rest unchanged."""
    return text[:1].upper() + text[1:]


class WeightedDraws:
    """Exact draws with integer weights: the probability used is exactly the one counted."""

    def __init__(self, weights: Sequence[int]) -> None:
        self.total = sum(weights)
        self.width = self.total.bit_length()
        self.tickets = [number for number, weight in enumerate(weights) for _ in range(weight)]
        self.bits = [log2(self.total / weight) for weight in weights]

    def draw(self, getrandbits: Bits) -> int:
        """The index of the winner; uniform over the tickets by rejection."""
        ticket = getrandbits(self.width)
        while ticket >= self.total:
            ticket = getrandbits(self.width)
        return self.tickets[ticket]


class Node:
    """A part of the grammar."""

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        """Append text to `out`, fill `slots`; return the bits of the choices."""
        raise NotImplementedError

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        """Every way in which this node derives a part of `text` from `start` on."""
        raise NotImplementedError

    def first_characters(self) -> frozenset[str] | None:
        """The characters this node can begin with; None if not known in advance."""
        return None


class Literal(Node):
    """A fixed text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        out.append(self.text)
        return 0.0

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        if text.startswith(self.text, start):
            return [(start + len(self.text), slots, 0.0)]
        return []

    def first_characters(self) -> frozenset[str] | None:
        return frozenset(self.text[:1]) or None


class Copy(Node):
    """Repeats the value of a slot: unchanged, with an article, or capitalized."""

    def __init__(self, slot: str, *, with_article: bool = False, capital: bool = False) -> None:
        self.slot = slot
        self.with_article = with_article
        self.capital = capital
        self._plain = not (with_article or capital)
        self._shown: dict[str, str] = {}

    def show(self, value: str) -> str:
        """The text that this copy writes when the slot holds `value`."""
        shown = self._shown.get(value)
        if shown is None:
            shown = f"{article(value)} {value}" if self.with_article else value
            shown = self._shown[value] = capitalised(shown) if self.capital else shown
        return shown

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        value = slots[self.slot]
        out.append(value if self._plain else self.show(value))
        return 0.0

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        shown = self.show(slots[self.slot])
        return [(start + len(shown), slots, 0.0)] if text.startswith(shown, start) else []


class Fill(Node):
    """Fills a slot from fixed text and other slots; writes nothing and costs nothing."""

    def __init__(self, slot: str, parts: Sequence[Literal | Copy]) -> None:
        self.slot = slot
        self.parts = parts

    def value(self, slots: Mapping[str, str]) -> str:
        """The value for the slot."""
        return "".join(
            part.text if isinstance(part, Literal) else part.show(slots[part.slot])
            for part in self.parts
        )

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        slots[self.slot] = self.value(slots)
        return 0.0

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        return [(start, {**slots, self.slot: self.value(slots)}, 0.0)]


class Chain(Node):
    """A sequence of nodes."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = tuple(nodes)

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        bits = 0.0
        for node in self.nodes:
            bits += node.emit(out, slots, getrandbits)
        return bits

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        ways: list[Match] = [(start, slots, 0.0)]
        for node in self.nodes:
            ways = [
                (end, now, bits + more)
                for place, before, bits in ways
                for end, now, more in node.match(text, place, before)
            ]
            if not ways:
                break
        return ways

    def first_characters(self) -> frozenset[str] | None:
        for node in self.nodes:
            if not isinstance(node, Fill):
                return node.first_characters()
        return None


class ChoiceNode(Node):
    """One of several nodes, by weight."""

    def __init__(self, nodes: Sequence[Node], weights: Sequence[int]) -> None:
        self.nodes = tuple(nodes)
        self.lottery = WeightedDraws(weights)
        self._ways: dict[str, list[tuple[Node, float]]] | None = None
        self._always: list[tuple[Node, float]] = []

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        number = self.lottery.draw(getrandbits)
        return self.lottery.bits[number] + self.nodes[number].emit(out, slots, getrandbits)

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        ways = self._ways if self._ways is not None else self._sort_by_first_character()
        return [
            (end, now, bits + more)
            for node, bits in ways.get(text[start : start + 1], self._always)
            for end, now, more in node.match(text, start, slots)
        ]

    def _sort_by_first_character(self) -> dict[str, list[tuple[Node, float]]]:
        firsts = [node.first_characters() for node in self.nodes]
        options = list(zip(self.nodes, self.lottery.bits, firsts, strict=True))
        characters = {character for first in firsts for character in first or ()}
        self._always = [(node, bits) for node, bits, first in options if first is None]
        self._ways = {
            character: [
                (node, bits) for node, bits, first in options if first is None or character in first
            ]
            for character in characters
        }
        return self._ways

    def first_characters(self) -> frozenset[str] | None:
        firsts = [node.first_characters() for node in self.nodes]
        if any(first is None for first in firsts):
            return None
        return frozenset().union(*(first for first in firsts if first is not None))


@dataclass(frozen=True)
class DrawnEntry:
    """A line of a table: its text, weight, and features (`he`: `she`)."""

    text: str
    weight: int = 1
    features: Mapping[str, str] = field(default_factory=dict)


class Draw(Node):
    """An entry of a table, written and stored in a slot; never one in the `unlike` slots."""

    def __init__(
        self,
        slot: str,
        entries: Sequence[DrawnEntry],
        *,
        unlike: Sequence[str] = (),
        with_article: bool = False,
        capital: bool = False,
    ) -> None:
        self.slot = slot
        self.entries = tuple(entries)
        self.unlike = tuple(unlike)
        self.lottery = WeightedDraws([entry.weight for entry in entries])
        show = Copy(slot, with_article=with_article, capital=capital).show
        self.shown = [show(entry.text) for entry in entries]
        self.filled: list[Slots] = [
            {slot: entry.text} | {f"{slot}.{key}": value for key, value in entry.features.items()}
            for entry in entries
        ]
        self._key = min(map(len, self.shown))
        self._numbers: dict[str, list[int]] = {}
        for number, shown in enumerate(self.shown):
            self._numbers.setdefault(shown[: self._key], []).append(number)
        self._weights = {entry.text: entry.weight for entry in entries}

    def _barred(self, slots: Mapping[str, str]) -> set[str]:
        return {slots[name] for name in self.unlike if slots[name] in self._weights}

    def bits(self, number: int, slots: Mapping[str, str]) -> float | None:
        """The bits of entry `number`, given the slots; None if it is excluded."""
        barred = self._barred(slots)
        if not barred:
            return self.lottery.bits[number]
        entry = self.entries[number]
        if entry.text in barred:
            return None
        left = self.lottery.total - sum(self._weights[text] for text in barred)
        return log2(left / entry.weight)

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        number = self.lottery.draw(getrandbits)
        bits = self.lottery.bits[number]
        if self.unlike:
            while (allowed := self.bits(number, slots)) is None:
                number = self.lottery.draw(getrandbits)
            bits = allowed
        out.append(self.shown[number])
        slots.update(self.filled[number])
        return bits

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        ways: list[Match] = []
        for number in self._numbers.get(text[start : start + self._key], ()):
            shown = self.shown[number]
            if text.startswith(shown, start):
                bits = self.bits(number, slots)
                if bits is not None:
                    ways.append((start + len(shown), {**slots, **self.filled[number]}, bits))
        return ways

    def first_characters(self) -> frozenset[str] | None:
        return frozenset(shown[0] for shown in self.shown)


class Follow(Node):
    """The part of the grammar that belongs to a slot's entry."""

    def __init__(self, slot: str) -> None:
        self.slot = slot
        self.nodes: dict[str, Node] = {}

    def emit(self, out: list[str], slots: Slots, getrandbits: Bits) -> float:
        return self.nodes[slots[self.slot]].emit(out, slots, getrandbits)

    def match(self, text: str, start: int, slots: Slots) -> list[Match]:
        return self.nodes[slots[self.slot]].match(text, start, slots)


def chain(nodes: Iterable[Node]) -> Node:
    """A sequence of the nodes, with adjacent literals joined; a single node is returned as is."""
    joined: list[Node] = []
    for node in nodes:
        for part in node.nodes if isinstance(node, Chain) else (node,):
            last = joined[-1] if joined else None
            if isinstance(part, Literal) and isinstance(last, Literal):
                joined[-1] = Literal(last.text + part.text)
            elif not (isinstance(part, Literal) and not part.text):
                joined.append(part)
    if not joined:
        return Literal("")
    return joined[0] if len(joined) == 1 else Chain(joined)
