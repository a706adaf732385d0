"""Label expressions: Jenkins' language, its precedence, and what is refused."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.labels import Both, Expression, Label, Not, parse_labels
from byoci.errors import UsageError

pytestmark = pytest.mark.controller

NAMES = ("a", "b", "c")
EXPRESSIONS = st.recursive(
    st.sampled_from(NAMES).map(Label),
    lambda inner: st.builds(Not, inner) | st.builds(Both, st.sampled_from(["<->", "->", "||", "&&"]), inner, inner),
    max_leaves=12,
)


def written(expression: Expression) -> str:
    if isinstance(expression, Label):
        return f'"{expression.name}"'
    if isinstance(expression, Not):
        return f"!({written(expression.operand)})"
    return f"({written(expression.left)}){expression.operator}({written(expression.right)})"


@given(EXPRESSIONS)
def test_what_was_written_is_read(expression: Expression) -> None:
    assert parse_labels(written(expression)) == expression


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("a && b || c", "(a and b) or c"),
        ("a || b && c", "a or (b and c)"),
        ("!a && b", "(not a) and b"),
        ("!(a && b)", "not (a and b)"),
        ("a -> b || c", "(not a) or (b or c)"),
        ("a <-> b -> c", "a == ((not b) or c)"),
        ("a&&b&&!c", "a and b and not c"),
    ],
)
def test_operators_bind_as_in_jenkins(text: str, python: str) -> None:
    expression = parse_labels(text)
    for values in itertools.product([False, True], repeat=3):
        has = dict(zip(NAMES, values, strict=True))
        assert expression.met_by({name for name in NAMES if has[name]}) == eval(python, has)


@pytest.mark.parametrize(
    ("text", "name"),
    [('"two words"', "two words"), ("x86-64", "x86-64"), (r'"a\"b"', 'a"b'), ("deb/24.04+x", "deb/24.04+x")],
)
def test_names_of_all_kinds(text: str, name: str) -> None:
    assert parse_labels(text) == Label(name)


def test_an_arrow_ends_a_word() -> None:
    assert parse_labels("x86-64->big") == Both("->", Label("x86-64"), Label("big"))


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a &&", "&& a", "(a", "a)", "a & b", '"a', "a -> b -> c", "!" * 60 + "a", "a" * 2001, "()"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_labels(text)


@given(st.text(alphabet='ab "\\!()&|<->\n\x00é', max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_labels(text).met_by({"a"}) in {True, False}
