"""The text of a condition, such as ``platform == 'S1A' and valid_fraction > 0.95``, read without running any code.

The grammar is a small part of Python's, except that a column may be called ``pass`` or ``class``, which Python's own
parser refuses, and that names with other characters stand in backquotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from sar_h5.errors import SettingError
from sar_h5.tables.conditions import (
    COMPARISONS,
    Comparison,
    Condition,
    Flag,
    Junction,
    Membership,
    Negation,
    Operand,
    Term,
)

MAX_LENGTH = 100_000
"""Characters in a condition: a thousand scene names."""

MAX_DEPTH = 50
"""Parentheses and nots within each other, which recursion follows."""

SUPPORTED = (
    "A condition compares columns with numbers or text in quotes: == != < <= > >=, in [...], not in [...]; joined by "
    "and, or, not and parentheses; names with odd characters stand in `backquotes`"
)

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w.]))
      | (?P<name>[^\W\d]\w*)(?!['"])
      | `(?P<quoted>[^`]+)`
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<sign>==|!=|<=|>=|[<>()\[\],-])
      | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"and", "or", "not", "in", "True", "False"}
_ADVICE = {"=": "write == to compare", "&": "write and", "|": "write or", "!": "write not", "~": "write not"}
_ESCAPED = re.compile(r"""\\([\\'"])""")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse_where(text: str) -> Condition:
    r"""Read a condition on columns. Nothing in it is run.

    Comparisons may be chained (``0.9 < valid_fraction <= 1``); a column of truth values stands alone. Times are text in
    ISO 8601, so ``start_time >= '2021-01-01'`` compares them in their order; what is unknown is ``''``, or -1. In
    text a backslash stands for itself, except before another one and before a quote.

    Args:
        text: the condition.

    Raises:
        SettingError: where it is none, with the place and what is supported.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MAX_LENGTH:
        found = f"{len(text):,} characters" if isinstance(text, str) else type(text).__name__
        raise SettingError(f"where: expected a condition of 1 to {MAX_LENGTH:,} characters, found {found}. {SUPPORTED}")
    parser = _Parser(text)
    term = parser.either(0)
    parser.expect("end", "and, or, or the end")
    return Condition(text, term)


class _Parser:
    """Recursive descent, one method for each level: or, and, not, comparison, operand."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _split(text)
        self._next = 0

    def either(self, depth: int) -> Term:
        return self._join("or", lambda: self._join("and", lambda: self._negation(depth), needs_all=True))

    def expect(self, text: str, expected: str) -> None:
        if not self._take(text):
            self._refuse(expected)

    def _join(self, word: str, part: Callable[[], Term], *, needs_all: bool = False) -> Term:
        terms = [part()]
        while self._take(word):
            terms.append(part())
        return terms[0] if len(terms) == 1 else Junction(tuple(terms), needs_all)

    def _negation(self, depth: int) -> Term:
        if depth >= MAX_DEPTH:
            self._refuse(f"at most {MAX_DEPTH} parentheses and nots within each other")
        return Negation(self._negation(depth + 1)) if self._take("not") else self._comparison(depth)

    def _comparison(self, depth: int) -> Term:
        first = self._side(depth)
        if not isinstance(first, Operand):
            return first
        if self._peek().kind == "word" and self._peek().text in ("in", "not"):
            return self._membership(first)
        chain, signs = [first], []
        while self._peek().kind == "sign" and self._peek().text in COMPARISONS:
            signs.append(self._pop().text)
            start = self._next
            side = self._side(depth)
            if not isinstance(side, Operand):
                self._next = start
                self._refuse("a column, a number or text in quotes")
            chain.append(side)
        return Comparison(tuple(chain), tuple(signs)) if signs else Flag(first)

    def _side(self, depth: int) -> Term | Operand:
        """Read a column or constant, or what stands in parentheses, which may be one as well."""
        if not self._take("("):
            return self._operand()
        inner = self.either(depth + 1)
        self.expect(")", "and, or, or a closing parenthesis")
        return inner.operand if isinstance(inner, Flag) else inner

    def _membership(self, operand: Operand) -> Term:
        is_negated = self._take("not")
        self.expect("in", "in")
        closing = {"[": "]", "(": ")"}.get(self._peek().text if self._peek().kind == "sign" else "")
        if closing is None:
            self._refuse("a list such as ['S1A', 'S1B']")
        self._pop()
        items: list[Operand] = []
        while not self._take(closing):
            if items:
                self.expect(",", f"a comma or {closing}")
                if self._take(closing):
                    break
            items.append(self._operand(constant=True))
        return Membership(operand, tuple(items), is_negated)

    def _operand(self, *, constant: bool = False) -> Operand:
        token = self._peek()
        if token.kind == "name" and not constant:
            return Operand(self._pop().text, token.position, is_column=True)
        is_negative = self._take("-")
        if is_negative or token.kind == "number":
            number = self._number()
            return Operand(-number if is_negative else number, token.position, is_column=False)
        if token.kind == "text":
            value: bool | str = _ESCAPED.sub(r"\1", token.text[1:-1])
        elif token.kind == "word" and token.text in ("True", "False"):
            value = token.text == "True"
        else:
            self._refuse("a number or text in quotes" if constant else "a column, a number or text in quotes")
        self._pop()
        return Operand(value, token.position, is_column=False)

    def _number(self) -> int | float:
        if self._peek().kind != "number":
            self._refuse("a number")
        digits = self._peek().text
        if digits.isdigit():
            digits = digits.lstrip("0") or "0"
            if len(digits) > 19 or int(digits) >= 1 << 63:  # int refuses thousands of digits
                self._refuse("an integer of at most 64 bits")
        self._pop()
        return int(digits) if digits.isdigit() else float(digits)

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _pop(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, text: str) -> bool:
        token = self._peek()
        is_there = token.kind in ("word", "sign", "end") and token.text == text
        self._next += is_there and text != "end"
        return is_there

    def _refuse(self, expected: str) -> NoReturn:
        token = self._peek()
        raise _refusal(self._text, token.position, expected, "")


def _split(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while not tokens or tokens[-1].kind != "end":
        match = _TOKEN.match(text, position)
        if match is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            raise _refusal(text, start, "a column, a number, text in quotes or a sign", _advice(text[start:]))
        kind = str(match.lastgroup)
        value, start = match.group(kind), match.start(kind)
        if kind == "name" and value in _WORDS:
            kind = "word"
        tokens.append(_Token("name" if kind == "quoted" else kind, value or "end", start))
        position = match.end()
    return tokens


def _advice(rest: str) -> str:
    return "the quote is never closed" if rest[0] in "'\"`" else _ADVICE.get(rest[0], "")


def _refusal(text: str, position: int, expected: str, advice: str) -> SettingError:
    found = repr(text[position : position + 20]) if position < len(text) else "the end"
    return SettingError(
        f"where: expected {expected} at character {position + 1}, found {found}{advice and f' ({advice})'}. {SUPPORTED}"
    )
