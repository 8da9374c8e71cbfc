"""The exact vocabulary and entropy of a grammar."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from math import fsum

from slm_tui.corpus.stories.grammar import (
    Chain,
    ChoiceNode,
    Copy,
    Draw,
    Fill,
    Follow,
    Literal,
    Node,
)

# Values of the slots that still matter, and their probabilities.
Held = tuple[tuple[str, str], ...]
Chances = dict[Held, float]

_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")


def words(text: str) -> list[str]:
    """The words of `text` in order: lower case, without the 's of a possessive."""
    return [word.lower().removesuffix("'s") for word in _WORD.findall(text)]


def nodes(root: Node) -> Iterator[Node]:
    """`root` and every node below it, once."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, Chain | ChoiceNode):
            waiting.extend(node.nodes)
        elif isinstance(node, Follow):
            waiting.extend(node.nodes.values())


@cache
def vocabulary(root: Node) -> frozenset[str]:
    """The distinct words of all texts below `root`; words never run across nodes."""
    result: set[str] = set()
    copied: set[str] = set()
    filled: dict[str, set[str]] = defaultdict(set)
    for node in nodes(root):
        if isinstance(node, Literal):
            result.update(words(node.text))
        elif isinstance(node, Copy):
            copied.add(node.slot)
            if node.with_article:
                result.update(("a", "an"))
        elif isinstance(node, Draw):
            result.update(word for shown in node.shown for word in words(shown))
            for slots in node.filled:
                for slot, value in slots.items():
                    filled[slot].add(value)
        elif isinstance(node, Fill):
            filled[node.slot].update(p.text for p in node.parts if isinstance(p, Literal))
    for slot in copied:
        result.update(word for value in filled[slot] for word in words(value))
    return frozenset(result)


def _reads(node: Node, cache: dict[int, frozenset[str]]) -> frozenset[str]:
    """The slots on which the bits of `node` may depend."""
    if id(node) in cache:
        return cache[id(node)]
    slots: frozenset[str] = frozenset()
    if isinstance(node, Draw):
        slots = frozenset(node.unlike)
    elif isinstance(node, Chain | ChoiceNode):
        slots = slots.union(*(_reads(part, cache) for part in node.nodes))
    elif isinstance(node, Follow):
        slots = frozenset({node.slot}).union(*(_reads(p, cache) for p in node.nodes.values()))
    cache[id(node)] = slots
    return slots


def _fills(node: Node, cache: dict[int, frozenset[str]]) -> frozenset[str]:
    """The slots that `node` may fill."""
    if id(node) in cache:
        return cache[id(node)]
    slots: frozenset[str] = frozenset()
    if isinstance(node, Draw):
        slots = slots.union(*node.filled)
    elif isinstance(node, Fill):
        slots = frozenset({node.slot})
    elif isinstance(node, Chain | ChoiceNode):
        slots = slots.union(*(_fills(part, cache) for part in node.nodes))
    elif isinstance(node, Follow):
        slots = slots.union(*(_fills(part, cache) for part in node.nodes.values()))
    cache[id(node)] = slots
    return slots


class _Expectation:
    """Walks the grammar with the distribution of the slots that later choices depend on."""

    def __init__(self) -> None:
        self._reads_cache: dict[int, frozenset[str]] = {}
        self._fills: dict[int, frozenset[str]] = {}
        self._alone: dict[int, float] = {}

    def bits(self, node: Node, chances: Chances, later: frozenset[str]) -> tuple[float, Chances]:
        """Expected bits of `node`, weighted by `chances`, and the chances after it.

        `later`: the slots that later nodes depend on; others are dropped.
        """
        if not _reads(node, self._reads_cache) and not later & _fills(node, self._fills):
            return self._expected_alone(node) * fsum(chances.values()), chances
        return self._dependent(node, chances, later)

    def _expected_alone(self, node: Node) -> float:
        """Expected bits of a node that neither depends on slots nor affects later ones."""
        if id(node) not in self._alone:
            self._alone[id(node)], _ = self._dependent(node, {(): 1.0}, frozenset())
        return self._alone[id(node)]

    def _dependent(
        self, node: Node, chances: Chances, later: frozenset[str]
    ) -> tuple[float, Chances]:
        if isinstance(node, Chain):
            return self._chain(node, chances, later)
        if isinstance(node, ChoiceNode):
            return self._choice(node, chances, later)
        if isinstance(node, Draw):
            return self._draw(node, chances, later)
        if isinstance(node, Follow):
            return self._follow(node, chances, later)
        if isinstance(node, Fill) and node.slot in later:
            raise NotImplementedError(f"choices depend on {node.slot}, which is filled from others")
        return 0.0, chances

    def _chain(self, node: Chain, chances: Chances, later: frozenset[str]) -> tuple[float, Chances]:
        needs = [later]
        for part in reversed(node.nodes[1:]):
            needs.append(needs[-1] | _reads(part, self._reads_cache))
        total = []
        for part, need in zip(node.nodes, reversed(needs), strict=True):
            bits, chances = self.bits(part, chances, need)
            total.append(bits)
        return fsum(total), chances

    def _choice(
        self, node: ChoiceNode, chances: Chances, later: frozenset[str]
    ) -> tuple[float, Chances]:
        mass = fsum(chances.values())
        total = []
        after: defaultdict[Held, float] = defaultdict(float)
        for part, cost in zip(node.nodes, node.lottery.bits, strict=True):
            share = 2.0**-cost
            more, then = self.bits(part, {k: v * share for k, v in chances.items()}, later)
            total += [mass * share * cost, more]
            for slots_now, chance in then.items():
                after[slots_now] += chance
        return fsum(total), dict(after)

    def _draw(self, node: Draw, chances: Chances, later: frozenset[str]) -> tuple[float, Chances]:
        total = []
        after: defaultdict[Held, float] = defaultdict(float)
        for old, chance in chances.items():
            slots = dict(old)
            for number, filled in enumerate(node.filled):
                cost = node.bits(number, slots)
                if cost is None:
                    continue
                share = chance * 2.0**-cost
                total.append(share * cost)
                now = slots | filled
                after[tuple((s, now[s]) for s in sorted(later & now.keys()))] += share
        return fsum(total), dict(after)

    def _follow(
        self, node: Follow, chances: Chances, later: frozenset[str]
    ) -> tuple[float, Chances]:
        total = []
        after: defaultdict[Held, float] = defaultdict(float)
        for template, part in node.nodes.items():
            matching = {k: v for k, v in chances.items() if dict(k)[node.slot] == template}
            bits, then = self.bits(part, matching, later) if matching else (0.0, {})
            total.append(bits)
            for key, chance in then.items():
                after[key] += chance
        return fsum(total), dict(after)


@cache
def expected_bits(root: Node) -> float:
    """The entropy of the texts below `root` in bits, exact up to rounding."""
    bits, _ = _Expectation().bits(root, {(): 1.0}, frozenset())
    return bits
