"""Conditions on columns: comparisons joined by and, or and not, evaluated for all rows at once."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from sar_h5.errors import SettingError

Columns = Mapping[str, npt.NDArray[Any]]
Truth = npt.NDArray[np.bool_] | np.bool_ | bool

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_KINDS = {"b": "truth values", "i": "numbers", "u": "numbers", "f": "numbers", "O": "text", "U": "text"}


@dataclass(frozen=True)
class Operand:
    """A column or a constant, and where it stands in the text.

    Attributes:
        value: the column's name, or the constant.
        position: of its first character, from 0.
        is_column: which of the two it is.
    """

    value: bool | int | float | str
    position: int
    is_column: bool

    def __str__(self) -> str:
        return f"{self.value if self.is_column else repr(self.value)} (character {self.position + 1})"

    def read(self, columns: Columns) -> Any:
        """Return the column's values, or the constant."""
        return columns[str(self.value)] if self.is_column else self.value

    def kind(self, columns: Columns) -> str:
        """Say what it holds: "text", "numbers" or "truth values"."""
        return _KINDS[np.asarray(self.read(columns)).dtype.kind]


class Term(Protocol):
    """One part of a condition."""

    def operands(self) -> tuple[Operand, ...]:
        """Return all columns and constants in it."""

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds; one answer where it needs no column."""


@dataclass(frozen=True)
class Comparison:
    """Operands with signs between them: ``0.9 < valid_fraction <= 1`` holds where each neighbouring pair does."""

    chain: tuple[Operand, ...]
    signs: tuple[str, ...]

    def operands(self) -> tuple[Operand, ...]:
        """Return all columns and constants in it."""
        return self.chain

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds.

        Raises:
            SettingError: where text is compared with numbers, or truth values are put in order.
        """
        for left, sign, right in zip(self.chain, self.signs, self.chain[1:], strict=False):
            if _same_kind(left, right, columns) == "truth values" and sign not in ("==", "!="):
                raise SettingError(f"where: {left} and {right} are truth values, which have no order; use == or !=")
        values = [operand.read(columns) for operand in self.chain]
        # NumPy takes a constant in the column's own type, so that 0.95 equals a float32 that was stored as 0.95.
        with np.errstate(over="ignore"):
            pairs = [
                COMPARISONS[sign](left, right)
                for left, sign, right in zip(values, self.signs, values[1:], strict=False)
            ]
        result: Truth = reduce(operator.and_, pairs)
        return result


@dataclass(frozen=True)
class Membership:
    """An operand that must be among constants, or must not."""

    operand: Operand
    items: tuple[Operand, ...]
    is_negated: bool

    def operands(self) -> tuple[Operand, ...]:
        """Return all columns and constants in it."""
        return (self.operand, *self.items)

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds.

        Raises:
            SettingError: where text is looked for among numbers, or the other way round.
        """
        for item in self.items:
            _same_kind(self.operand, item, columns)
        values = np.asarray(self.operand.read(columns))
        found: Truth
        if self.operand.kind(columns) == "text":
            wanted = {item.value for item in self.items}
            found = np.fromiter((value in wanted for value in values.flat), bool, values.size).reshape(values.shape)
        else:
            with np.errstate(over="ignore"):
                found = reduce(
                    operator.or_, (values == item.value for item in self.items), np.zeros(values.shape, bool)
                )
        return np.logical_not(found) if self.is_negated else found


@dataclass(frozen=True)
class Flag:
    """A column of truth values, or True or False, that stands alone."""

    operand: Operand

    def operands(self) -> tuple[Operand, ...]:
        """Return the column or constant."""
        return (self.operand,)

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds.

        Raises:
            SettingError: where it is text or numbers.
        """
        kind = self.operand.kind(columns)
        if kind != "truth values":
            raise SettingError(f"where: {self.operand} holds {kind}, not truth values; compare it with something")
        values: Truth = self.operand.read(columns)
        return values


@dataclass(frozen=True)
class Negation:
    """What holds where another term does not."""

    term: Term

    def operands(self) -> tuple[Operand, ...]:
        """Return all columns and constants in it."""
        return self.term.operands()

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds."""
        return np.logical_not(self.term.holds(columns))


@dataclass(frozen=True)
class Junction:
    """Terms of which all must hold, or any."""

    terms: tuple[Term, ...]
    needs_all: bool

    def operands(self) -> tuple[Operand, ...]:
        """Return all columns and constants in it."""
        return tuple(operand for term in self.terms for operand in term.operands())

    def holds(self, columns: Columns) -> Truth:
        """Say for each row whether it holds."""
        join = operator.and_ if self.needs_all else operator.or_
        return reduce(join, (term.holds(columns) for term in self.terms))


@dataclass(frozen=True)
class Condition:
    """A condition on the rows of a table.

    Attributes:
        text: as the user wrote it.
        term: what it means.
    """

    text: str
    term: Term

    @property
    def names(self) -> frozenset[str]:
        """The columns that it needs."""
        return frozenset(str(operand.value) for operand in self.term.operands() if operand.is_column)

    def evaluate(self, columns: Columns, count: int) -> npt.NDArray[np.bool_]:
        """Say for each row whether the condition holds. NaN is unlike every number, itself included.

        Args:
            columns: arrays (count,) of numbers, truth values, or text as str, by name; only those in :attr:`names` are
                read.
            count: how many rows there are.

        Returns:
            bool (count,).

        Raises:
            SettingError: where there is no such column, or text is compared with numbers.
        """
        for operand in self.term.operands():
            if operand.is_column and operand.value not in columns:
                raise SettingError(_unknown_column(operand, list(columns)))
        needed = {name: columns[name] for name in self.names}
        return np.broadcast_to(np.asarray(self.term.holds(needed), dtype=bool), (count,)).copy()


def _same_kind(left: Operand, right: Operand, columns: Columns) -> str:
    """Return the kind of two operands that are compared, or refuse them where they differ."""
    kinds = left.kind(columns), right.kind(columns)
    if kinds[0] == kinds[1]:
        return kinds[0]
    advice = "; text stands in quotes, numbers without" if "truth values" not in kinds else ""
    raise SettingError(f"where: {left} holds {kinds[0]} and {right} {kinds[1]}; these cannot be compared{advice}")


def _unknown_column(operand: Operand, known: list[str]) -> str:
    close = difflib.get_close_matches(str(operand.value)[:100], known, 1)
    there_are = f"did you mean {close[0]}? There are" if close else "there are"
    names = ", ".join(name if name.isidentifier() else f"`{name}`" for name in known[:60])
    return f"where: there is no column {str(operand)[:100]}; {there_are} {names}"
