"""The notation of the story grammar: templates that read like the stories they write.

| written                | means                                                             |
|------------------------|-------------------------------------------------------------------|
| `[a\\|3*b\\|+c\\|++d]`    | a choice; `3*` a weight, `+` from `small` on, `++` only in `rich` |
| `[-a\\|b]`              | `-`: only in `tiny`, which keeps its stories short that way       |
| `{rule}`               | the rule of that name                                             |
| `{hobby}`              | an entry of the table `hobby`, not kept                           |
| `{hero=girl}`          | an entry of the table `girl`, kept in the slot `hero`             |
| `{a thing=toy}`        | the same after `a` or `an`; `{A thing=toy}`, `{Thing=toy}`: capital |
| `{friend=girl!hero}`   | an entry that is not what the slot `hero` holds                   |
| `{who:=the <helper>}`  | fills a slot and writes nothing                                   |
| `{@thing.loss}`        | the template that the entry in `thing` has as its feature `loss`  |
| `<thing>`, `<Thing>`   | what the slot holds; with a capital letter                        |
| `<a thing>`            | the same with its article                                         |
| `<he>`, `<friend.he>`  | a feature of the hero, of another slot                            |
| `//`                   | a new paragraph                                                   |

White space is one space. It is dropped before `|` and `]`, before a choice whose first
alternative is nothing (`[|`: the others begin with their own space), and around `//`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from slm_tui.corpus.stories.grammar import (
    ChoiceNode,
    Copy,
    Draw,
    DrawnEntry,
    Fill,
    Follow,
    Literal,
    Node,
    chain,
)

PARAGRAPH = "\n\n"
_PRONOUNS = {"he", "him", "his", "himself"}
_TOKEN = re.compile(r"[\[\]|]|\{[^{}]*\}|<[^<>]*>|[^\[\]|{}<>]+")
_ALTERNATIVE = re.compile(r"(\+{1,2}|-|)(?:(\d+)\*)?")
_DRAW = re.compile(r"([aA] )?(\w+)=(\w+)((?:!\w+)*)$")


class NotationError(ValueError):
    """A template that cannot be parsed: a bug in the grammar, not a user error."""


class NotationParser:
    """Parses templates into nodes, for one level (0 tiny, 1 small, 2 rich)."""

    def __init__(
        self, rules: Mapping[str, str], tables: Mapping[str, Sequence[DrawnEntry]], level: int
    ) -> None:
        self._rules = rules
        self._tables = tables
        self._level = level
        self._read: dict[str, Node] = {}
        self._draws: list[Draw] = []
        self._follows: list[Follow] = []

    def grammar(self, rule: str) -> Node:
        """The node of `rule`, with the templates of entries resolved."""
        node = self.rule(rule)
        while self._resolve():  # a template parsed here may draw and follow more slots
            pass
        return node

    def _resolve(self) -> bool:
        """Give every follow the templates its slot can hold; return whether any were new."""
        new = False
        for follow in list(self._follows):
            for draw in list(self._draws):
                for filled in draw.filled:
                    template = filled.get(follow.slot)
                    if template is not None and template not in follow.nodes:
                        follow.nodes[template] = self._template(template)
                        new = True
            if not follow.nodes:
                raise NotationError(f"nothing ever fills {follow.slot}")
        return new

    def rule(self, name: str) -> Node:
        """The node of the rule `name`; the same object each time."""
        if name not in self._read:
            if name not in self._rules:
                raise NotationError(f"no rule {name}")
            self._read[name] = self._template(self._rules[name])
        return self._read[name]

    def _template(self, template: str) -> Node:
        text = re.sub(r"^\s*\n\s*|\s+$", "", template)
        text = re.sub(r"\s+", " ", text)
        text = re.sub(r" (?=[|\]]|\[-?(?:\d+\*)?\|)", "", text)
        text = re.sub(r" ?// ?", PARAGRAPH, text)
        tokens = _TOKEN.findall(text)
        if "".join(tokens) != text:
            raise NotationError(f"cannot read {template!r}")
        node, end = self._choice(tokens, 0)
        if end != len(tokens):
            raise NotationError(f"extra closing bracket in {template!r}")
        return node

    def _choice(self, tokens: list[str], at: int) -> tuple[Node, int]:
        """The alternatives from `at` up to the closing bracket or the end."""
        nodes: list[Node] = []
        weights: list[int] = []
        while True:
            used, weight, at = self._marks(tokens, at)
            node, at = self._row(tokens, at, skip=not used)
            if used:
                _add(nodes, weights, node, weight)
            if at == len(tokens) or tokens[at] == "]":
                break
            at += 1
        if not nodes:
            return Literal(""), at
        return (nodes[0] if len(nodes) == 1 else ChoiceNode(nodes, weights)), at

    def _marks(self, tokens: list[str], at: int) -> tuple[bool, int, int]:
        """Whether the alternative at `at` is used, its weight, and where it begins."""
        match = _ALTERNATIVE.match(tokens[at]) if at < len(tokens) else None
        if match is None or not match.group():
            return True, 1, at
        rest = tokens[at][match.end() :]
        if rest:
            tokens[at] = rest
        else:
            at += 1
        marks = match[1]
        used = self._level == 0 if marks == "-" else len(marks) <= self._level
        return used, int(match[2] or 1), at

    def _row(self, tokens: list[str], at: int, *, skip: bool) -> tuple[Node, int]:
        """The text between two bars. `skip`: above the level, so it is discarded."""
        nodes: list[Node] = []
        while at < len(tokens) and tokens[at] not in "|]":
            token = tokens[at]
            at += 1
            if token == "[":
                node, at = self._skipped(tokens, at) if skip else self._choice(tokens, at)
                if at == len(tokens):
                    raise NotationError("a bracket is not closed")
                nodes.append(node)
                at += 1
            elif not skip:
                nodes.append(self._leaf(token))
        return chain(nodes), at

    def _skipped(self, tokens: list[str], at: int) -> tuple[Node, int]:
        depth = 1
        while depth:
            depth += {"[": 1, "]": -1}.get(tokens[at], 0)
            at += 1
        return Literal(""), at - 1

    def _leaf(self, token: str) -> Node:
        if token[0] == "<":
            return _copy(token[1:-1])
        if token[0] == "{":
            return self._braces(token[1:-1])
        return Literal(token)

    def _braces(self, inside: str) -> Node:
        if inside.startswith("@"):
            follow = Follow(inside[1:])
            self._follows.append(follow)
            return follow
        if ":=" in inside:
            slot, _, template = inside.partition(":=")
            pieces = re.findall(r"<[^<>]*>|[^<>]+", template)
            return Fill(slot, [_copy(p[1:-1]) if p[0] == "<" else Literal(p) for p in pieces])
        if inside in self._tables:
            inside = f"_={inside}"
        match = _DRAW.match(inside)
        return self._draw(match) if match else self.rule(inside)

    def _draw(self, match: re.Match[str]) -> Node:
        name, table = match[2], match[3]
        if table not in self._tables:
            raise NotationError(f"no table {table}")
        draw = Draw(
            name[0].lower() + name[1:],
            self._tables[table],
            unlike=[slot for slot in match[4].split("!") if slot],
            with_article=bool(match[1]),
            capital=name[0].isupper() or match[1] == "A ",
        )
        self._draws.append(draw)
        return draw


def _add(nodes: list[Node], weights: list[int], node: Node, weight: int) -> None:
    """Add an alternative; duplicates become one alternative with the total weight."""
    for number, other in enumerate(nodes):
        if isinstance(node, Literal) and isinstance(other, Literal) and other.text == node.text:
            weights[number] += weight
            return
    nodes.append(node)
    weights.append(weight)


def _copy(inside: str) -> Copy:
    head, _, tail = inside.rpartition(" ")
    slot = tail[0].lower() + tail[1:]
    if slot in _PRONOUNS:
        slot = f"hero.{slot}"
    capital = tail[0].isupper() or head == "A"
    return Copy(slot, with_article=head in ("a", "A"), capital=capital)
