"""The text of conditions: what it means, against plain Python, and that nothing else is understood, let alone run."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sar_h5.errors import SettingError
from sar_h5.tables.conditions import Condition
from sar_h5.tables.where import MAX_DEPTH, MAX_LENGTH, parse_where

COLUMNS = {
    "x": np.array([0.5, 1.0, np.nan, -2.0, 1e300]),
    "n": np.array([-1, 0, 1, 2, 2**62]),
    "word": np.array(["", "S1A", "it's", "\N{GREEK SMALL LETTER PI}", "a\\b"], dtype=object),
    "flag": np.array([True, False, True, False, True]),
    "pass": np.array(["ASCENDING", "DESCENDING", "", "ASCENDING", ""], dtype=object),
    "land cover": np.array([1, 2, 3, 4, 5]),
}
COUNT = 5


def rows(text: str) -> list[int]:
    return np.flatnonzero(parse_where(text).evaluate(COLUMNS, COUNT)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "x > 0.75": [1, 4],
        "x >= .5 and n < 1": [0, 1],
        "0 < n <= 2": [2, 3],
        "-1 == n or n == 4611686018427387904": [0, 4],
        "x != x": [2],
        "not x > 0": [2, 3],
        "not flag": [1, 3],
        "flag == False": [1, 3],
        "flag and not (n < 1 or n == 1)": [4],
        "n < 1 or n == 1 and flag": [0, 1, 2],
        "pass == 'ASCENDING'": [0, 3],
        "word in ['S1A', \"it's\"]": [1, 2],
        "word not in ('', 'S1A',)": [2, 3, 4],
        "not word in []": [0, 1, 2, 3, 4],
        "n in [1, -1, 2.0]": [0, 2, 3],
        "flag in [False]": [1, 3],
        "word == 'it\\'s'": [2],
        "word == 'a\\b'": [4],
        'word == "a\\\\b"': [4],
        "word == '\N{GREEK SMALL LETTER PI}'": [3],
        "word < 'a' and word > ''": [1],
        "`land cover` >= 4": [3, 4],
        "`x`<1e0": [0, 3],
        "((x)) > (0.75)": [1, 4],
        "(flag) and ((n) == (1))": [2],
        "1 < 2": [0, 1, 2, 3, 4],
        "False": [],
        "\n x\t>\n0.75 ": [1, 4],
        "007 == 7": [0, 1, 2, 3, 4],
        "x < 1e999": [0, 1, 3, 4],
    }.items(),
)
def test_a_condition_chooses_these_rows(text: str, expected: list[int]) -> None:
    assert rows(text) == expected


def test_a_condition_says_which_columns_it_needs() -> None:
    condition = parse_where("pass == 'x' and (0 < n < x or not `land cover` in [1])")
    assert condition.names == {"pass", "n", "x", "land cover"}
    assert condition.text.startswith("pass")


# Against plain Python, row by row

numbers = st.one_of(st.integers(-3, 3), st.integers(-(2**62), 2**62), st.sampled_from([0.5, 1e300, 2.5e-3]))
words = st.sampled_from(["", "S1A", "it's", 'say "hi"', "a\\b", "\\", "'"])
signs = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])


def quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def operands(names: list[str], constants: st.SearchStrategy[object]) -> st.SearchStrategy[str]:
    texts = constants.map(lambda value: quoted(value) if isinstance(value, str) else repr(value))
    return st.one_of(st.sampled_from(names), texts, texts.map(lambda text: f"({text})"))


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    names, constants = draw(st.sampled_from([(["x", "n"], numbers), (["word"], words)]))
    if draw(st.booleans()):
        items = draw(
            st.lists(constants.map(lambda value: quoted(value) if isinstance(value, str) else repr(value)), max_size=3)
        )
        return f"{draw(st.sampled_from(names))} {draw(st.sampled_from(['in', 'not in']))} [{', '.join(items)}]"
    text = draw(operands(names, constants))
    for _ in range(draw(st.integers(1, 3))):
        text += f" {draw(signs)} {draw(operands(names, constants))}"
    return text


conditions = st.recursive(
    st.one_of(comparisons(), st.sampled_from(["flag", "True", "False", "flag == True"])),
    lambda inner: st.one_of(
        inner.map(lambda text: f"not {text}"),
        inner.map(lambda text: f"({text})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(text=conditions)
def test_a_condition_means_what_it_means_in_python(text: str) -> None:
    names = ("x", "n", "word", "flag")
    plain = [
        {name: COLUMNS[name][row].item() if name != "word" else COLUMNS[name][row] for name in names}
        for row in range(COUNT)
    ]
    expected = [bool(eval(text, {"__builtins__": {}}, row)) for row in plain]  # noqa: S307 - the reference; the package evaluates nothing
    assert parse_where(text).evaluate(COLUMNS, COUNT).tolist() == expected


# What is no condition


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a condition of 1 to 100,000 characters, found 0"),
        ("   ", "expected a column, a number or text in quotes at character 4, found the end"),
        ("x = 1", r"at character 3, found '= 1' \(write == to compare\)"),
        ("flag & flag", r"at character 6, found '& flag' \(write and\)"),
        ("!flag", r"at character 1, found '!flag' \(write not\)"),
        ("word == 'S1A", r"at character 9, found \"'S1A\" \(the quote is never closed\)"),
        ("x > ", "expected a column, a number or text in quotes at character 5, found the end"),
        ("x > 1 flag", "expected and, or, or the end at character 7, found 'flag'"),
        ("(x > 1", "expected and, or, or a closing parenthesis at character 7, found the end"),
        ("(x > 1) == True", "expected and, or, or the end at character 9"),
        ("word in 'S1A'", r"expected a list such as \['S1A', 'S1B'\] at character 9"),
        ("x > (x > 1)", r"expected a column, a number or text in quotes at character 5, found '\(x > 1\)'"),
        ("word in ['a' 'b']", r"expected a comma or \] at character 14"),
        ("word in [word]", "expected a number or text in quotes at character 10"),
        ("word not 'a'", "expected in at character 10"),
        ("x == -flag", "expected a number at character 7"),
        ("x == --1", "expected a number at character 7"),
        ("x is 1", "expected and, or, or the end at character 3, found 'is 1'"),
        ("x + 1 > 2", r"at character 3, found '\+ 1 > 2'"),
        ("n < 9223372036854775808", "expected an integer of at most 64 bits at character 5"),
        ("n < " + "9" * 10_000, "expected an integer of at most 64 bits at character 5"),
        ("n < 1_000", "at character 5, found '1_000'"),
        ("n < 0x10", "at character 5"),
        ("n < 1.2.3", "at character 5"),
        ("n < \N{ARABIC-INDIC DIGIT ONE}", "at character 5"),
        ("word == 'a\0b' and \0", "at character 19"),
        ("x" * (MAX_LENGTH + 1), "found 100,001 characters"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        rows(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "x.__class__ == x", "(lambda: True)()", "[x for x in word]", "(y := x) > 1",
        "f'{x}' == 'a'", "b'a' == word", "word == r'a'", "x if flag else n", "x ** 9", "~flag", "*x", "{}", "x[0] > 1", "x; n",
        "x == 1 # comment", "None", "...", "await x", "yield", "'' 'a' == word", "@x", "`", "``", "`a", "not", "and", "in []",
    ],
)  # fmt: skip
def test_code_is_no_condition(text: str) -> None:
    with pytest.raises(SettingError, match="where: "):
        rows(text)


@pytest.mark.parametrize("where", [None, 5, b"x > 1", ["x > 1"]])
def test_a_condition_is_text(where: object) -> None:
    with pytest.raises(SettingError, match=f"found {type(where).__name__}"):
        parse_where(where)  # type: ignore[arg-type]


@pytest.mark.parametrize("opening", ["(", "not ", "(not ", "- ", "[", "x in ["])
def test_deep_nesting_is_refused_and_not_a_crash(opening: str) -> None:
    with pytest.raises(SettingError, match=r"at most 50 parentheses|expected a number|expected a column"):
        rows((opening * MAX_LENGTH)[: MAX_LENGTH // 6 * 6])
    fits = "(not " * (MAX_DEPTH // 2 - 1)
    assert rows(f"{fits}flag{')' * (MAX_DEPTH // 2 - 1)}") in ([0, 2, 4], [1, 3])


def test_the_longest_conditions_take_no_longer_than_they_are() -> None:
    started = time.perf_counter()
    assert rows("n == 1 or " * 9_999 + "n == 2") == [2, 3]
    assert rows(f"n in [{'7,' * 49_990}1]") == [2]
    for text in ("'" + "\\" * 99_999, "`" * 100_000, " " * 100_000, "1" * 99_999 + "x", "x" + " " * 99_998 + "$"):
        with pytest.raises(SettingError):
            rows(text)
    assert time.perf_counter() - started < 10


@given(
    text=st.text(max_size=60)
    | st.lists(st.sampled_from([*"()[],-<>='\"`\\ .1e", " not ", " in ", "==", "x", "word", "and "]), max_size=30).map(
        "".join
    )
)
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        condition = parse_where(text)
        result = condition.evaluate(COLUMNS, COUNT)
    except SettingError:
        return
    assert isinstance(condition, Condition)
    assert (result.dtype, result.shape) == (np.bool_, (COUNT,))
