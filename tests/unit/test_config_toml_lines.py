"""The scan for keys' lines agrees with the standard library's parser on every text that it accepts."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from byoci.config.toml_lines import key_lines


def paths(table: dict[str, object], prefix: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    found = set()
    for key, value in table.items():
        found.add((*prefix, key))
        if isinstance(value, dict):
            found |= paths(value, (*prefix, key))
    return found


def test_every_form_of_key_and_value() -> None:
    text = (
        'a = 1 # b = 2\r\n"c.d" = "x # ] } = \\" y"\n'
        "'e f'.g = '''\n] h = 1\n'''\n"
        'i = """\n[j]\n\\""" k = 2 \\\\"""\n'
        "l = [1, [2, '''\n]'''], { m = 1 },\n # n = 3\n]\n"
        "o = { p = 1979-05-27T07:32:00.5Z, q.r = { s = [] }, t = [{}], u = +1.5e3 }\n"
        '[ v . "w\\u0041" ]\nx = 1979-05-27 07:32:00\n[[y]]\nz = 1\n[[y]]\nz = 2\n[v]\n'
        'aa = \'\'\'\'\'\'\nab = """""x"""""\n'
    )
    lines = key_lines(text)
    numbers = {".".join(path): line for path, line in lines.items()}
    assert numbers == {
        "a": 1, "c.d": 2, "e f": 3, "e f.g": 3, "i": 6, "l": 9, "o": 13, "o.p": 13, "o.q": 13, "o.q.r": 13,
        "o.q.r.s": 13, "o.t": 13, "o.u": 13, "v": 14, "v.wA": 14, "v.wA.x": 15, "y": 16, "y.z": 17,
        "v.aa": 21, "v.ab": 22,
    }  # fmt: skip
    assert paths(tomllib.loads(text)) | {("y", "z")} == set(lines)


WORDS = st.text(max_size=6) | st.text(alphabet="[]{}=,.#'\"\\\n ab", max_size=12)
BARE = st.text(alphabet="abcAB12-_", min_size=1, max_size=4)


def basic(text: str) -> str:
    return '"' + "".join(f"\\U{ord(c):08x}" if c in '"\\' or ord(c) < 32 or ord(c) == 127 else c for c in text) + '"'


def multiline(text: str) -> str:
    kept = "".join(c for c in text if c == "\n" or (ord(c) >= 32 and ord(c) != 127))
    return '"""\n' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"""'


def literal(text: str) -> str:
    return "'''" + "".join(c for c in text if c == "\n" or (ord(c) >= 32 and c != "'" and ord(c) != 127)) + "'''"


KEYS = st.lists(BARE | WORDS.map(basic), min_size=1, max_size=3).map(" . ".join)
SIMPLE = st.sampled_from(["1", "-1.5e-3", "true", "2024-01-01T00:00:00Z", "07:32:00", "0x_ff".replace("_", ""), "inf"])
STRINGS = WORDS.map(basic) | WORDS.map(multiline) | WORDS.map(literal)
VALUES = st.recursive(
    SIMPLE | STRINGS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[ # c ]\n" + ",\n".join(items) + "]")
        | st.lists(st.tuples(KEYS, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key} = {value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)
STATEMENTS = (
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]} # x = [")
    | KEYS.map(lambda key: f"[{key}]")
    | st.just("")
)


@given(st.lists(STATEMENTS, max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_the_same_keys_as_the_parser_and_each_on_its_line(statements: list[str], newline: str) -> None:
    accepted: list[str] = []
    for statement in statements:
        try:
            tomllib.loads(newline.join([*accepted, statement]))
        except tomllib.TOMLDecodeError:
            continue  # a key twice, and the like
        accepted.append(statement)
    text = newline.join(accepted)
    lines = key_lines(text)
    assert set(lines) == paths(tomllib.loads(text))
    for path, line in lines.items():
        before = "\n".join(text.split("\n")[: line - 1])
        before_parsed = _parsed_prefix(before)
        assert before_parsed is None or path not in paths(before_parsed)


def _parsed_prefix(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
