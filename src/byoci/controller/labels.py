"""Label expressions: which nodes a job may run on, in the language that Jenkins has for it.

From what binds least to what binds most: `a <-> b` (both or neither), `a -> b` (b, where there is a), `a || b`,
`a && b`, `!a`, and parentheses. A label is a word, or anything within double quotes. A node's own name is one of its
labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

_TOKEN: Final = re.compile(
    r'\s*(?:(<->|->|\|\||&&|[!()])|"((?:[^"\\\x00-\x1f]|\\.)*)"|([^\s"!()&|<>\-](?:[^\s"!()&|<>\-]|-(?!>))*))'
)
_LONGEST: Final = 2000  # characters of an expression, which also bounds how deep it nests
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True)
class Label:
    """One label: met by the nodes that have it."""

    name: str

    def met_by(self, labels: AbstractSet[str]) -> bool:
        """Whether a node with these labels will do."""
        return self.name in labels


@dataclass(frozen=True, slots=True)
class Not:
    """Met where the operand is not."""

    operand: Expression

    def met_by(self, labels: AbstractSet[str]) -> bool:
        """Whether a node with these labels will do."""
        return not self.operand.met_by(labels)


@dataclass(frozen=True, slots=True)
class Both:
    """Two expressions joined by an operator of `OPERATORS`."""

    operator: str
    left: Expression
    right: Expression

    def met_by(self, labels: AbstractSet[str]) -> bool:
        """Whether a node with these labels will do."""
        return OPERATORS[self.operator](self.left.met_by(labels), self.right.met_by(labels))


Expression = Label | Not | Both
OPERATORS: Final[dict[str, Callable[[bool, bool], bool]]] = {
    "<->": lambda left, right: left == right,
    "->": lambda left, right: not left or right,
    "||": lambda left, right: left or right,
    "&&": lambda left, right: left and right,
}
_LOOSEST_FIRST: Final = tuple(OPERATORS)


def parse_labels(text: str) -> Expression:
    """The expression that `text` writes. Raises `UsageError` where it writes none."""
    if len(text) > _LONGEST:
        raise UsageError(f"a label expression of {len(text)} characters is too long", details=f"At most {_LONGEST}.")
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._at = 0
        self._depth = 0

    def _split(self) -> list[tuple[str, str]]:
        """Pairs of a kind (an operator, or "label") and a label's name."""
        tokens, place, end = [], 0, len(self._text.rstrip())
        while place < end:
            match = _TOKEN.match(self._text, place)
            if not match:
                self._fail(f"“{self._text[place:].strip()[:20]}” is no label or operator")
            operator, quoted, word = match.groups()
            name = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else word
            tokens.append((operator or "label", name or ""))
            place = match.end()
        return tokens

    def whole(self) -> Expression:
        expression = self._joined(0)
        if self._at < len(self._tokens):
            self._fail(f"“{self._tokens[self._at][0]}” is not expected there")
        return expression

    def _joined(self, level: int) -> Expression:
        if level == len(_LOOSEST_FIRST):
            return self._single()
        operator = _LOOSEST_FIRST[level]
        left = self._joined(level + 1)
        chained = False
        while self._peek() == operator:
            if chained and operator == "->":
                self._fail("a -> b -> c can mean two things: put parentheses")
            self._at += 1
            left = Both(operator, left, self._joined(level + 1))
            chained = True
        return left

    def _single(self) -> Expression:
        kind = self._peek()
        if kind is None:
            self._fail("a label is missing at its end")
        _, name = self._tokens[self._at]
        self._at += 1
        if kind == "label":
            return Label(name)
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("it nests too deep")
        if kind == "!":
            found: Expression = Not(self._single())
        elif kind == "(":
            found = self._joined(0)
            if self._peek() != ")":
                self._fail("a ) is missing")
            self._at += 1
        else:
            self._fail(f"a label is missing before “{kind}”")
        self._depth -= 1
        return found

    def _peek(self) -> str | None:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else None

    def _fail(self, why: str) -> NoReturn:
        raise UsageError(
            "a label expression cannot be read",
            details=f"{self._text[:200]}: {why}.",
            resolution='Join labels by &&, ||, !, -> and <->; put other characters within double quotes: "a b".',
        )
