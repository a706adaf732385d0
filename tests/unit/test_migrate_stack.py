"""Which value counts, and what references stand for; also those that nobody wrote in good faith."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byoci.config.migrate.stack import MAX_LENGTH, Stack, Value
from byoci.config.migrate.syntax import parse
from byoci.config.migrate.wrong import MigrationError

pytestmark = pytest.mark.host


def stack(*texts: str, notes: str = "") -> Stack:
    """A stack of files, the first of which counts most."""
    found = [one for rank, text in enumerate(texts) for one in parse(text, Path(f"{rank}.conf"), rank).definitions]
    return Stack(found, parse(notes, Path("existing-vms.conf"), len(texts)).definitions)


def text(of: Stack, option: str, machine: str | None = None, **given_: str) -> str | None:
    value = of.value(option, machine, given_)
    return None if value is None else value.text


def outcome(of: Stack, option: str, machine: str | None) -> Value | str | None:
    """The value, or what is wrong with it."""
    try:
        return of.value(option, machine)
    except MigrationError as error:
        return error.details


def complaint(of: Stack, option: str, machine: str | None = None) -> str:
    with pytest.raises(MigrationError) as caught:
        of.value(option, machine)
    return caught.value.details


def test_the_longest_section_that_the_name_begins_with_counts_in_whatever_file() -> None:
    site = stack("x = none\n[brz]\nx = brz\n[zz]\nx = zz", "[brz-trunk]\nx = trunk", "[brz-]\nx = prefix\ny = far")
    assert text(site, "x", "brz-trunk") == "trunk"
    assert text(site, "x", "brz-trunk-2") == "trunk"
    assert text(site, "x", "brz-3") == "prefix"
    assert text(site, "x", "brz") == "brz"
    assert text(site, "x", "other") == "none"
    assert text(site, "x") == "none"
    assert text(site, "y", "brz-trunk") == "far"
    assert text(site, "y", "brz") is None


def test_among_equals_the_first_file_counts_and_notes_on_machines_last() -> None:
    site = stack("[vm]\nx = first", "[vm]\nx = second\ny = second", notes="[vm]\ny = note\nz = note\n[v]\nz = other")
    assert (text(site, "x", "vm"), text(site, "y", "vm")) == ("first", "second")
    assert (text(site, "z", "vm"), text(site, "z", "vm-2"), text(site, "z")) == ("note", None, None)
    assert [(lost.place, winner.place) for lost, winner in site.lost.items()] == [
        ("1.conf:2", "0.conf:2"),
        ("existing-vms.conf:2", "1.conf:3"),
    ]


def test_references_are_replaced_from_the_inside_out() -> None:
    site = stack(
        "byoci = testing\ntesting.url = http://{host}\nhost = {name}.example\nname = ci\nall = {{byoci}.url}/x"
    )
    assert text(site, "all") == "http://ci.example/x"
    assert text(site, "all", None, byoci="production", **{"production.url": "P"}) == "P/x"
    assert text(stack("a = {b}{c}\nb = {\nc = d}\nd = made of pieces"), "a") == "made of pieces"
    assert text(stack("a = {\nb = } {{ }x"), "a") == "{"


def test_defaults_and_the_machines_own_name() -> None:
    site = stack("d = {vm.user} on {vm.name}\n[deb]\nvm.distribution = debian")
    assert text(site, "d", "deb-1") == "debian on deb-1"
    assert text(site, "d", "other") == "ubuntu on other"
    assert text(stack("testing.master.url = u\nbyoci = testing"), "testing.master.api") == "u"
    assert text(stack(""), "vm.release", "x") is None
    found = stack("x = {vm.ram_size}M").value("x")
    assert found is not None
    assert found.text == "2048M"
    assert len(found.used) == 1


def test_an_option_may_stand_on_its_own_value_below() -> None:
    site = stack("[vm-1]\nx = {},c", "[vm]\nx = {},b\nvm.ram_size = {}0", "x = a")
    assert text(site, "x", "vm-1") == "a,b,c"
    assert text(site, "vm.ram_size", "vm") == "20480"


def test_what_went_into_a_value_is_remembered() -> None:
    site = stack(
        "a = {b}\nb = {our.token}\nour.token = s3cret\nc = {d}\nd = plain\n# byoci migrate moved e to /x\nf = {e}"
    )
    tainted, plain, moved = site.value("a"), site.value("c"), site.value("f")
    assert tainted is not None
    assert plain is not None
    assert moved is not None
    assert (tainted.secret, plain.secret, moved.secret) == (True, False, True)
    assert sorted(one.name for one in tainted.used) == ["a", "b", "our.token"]
    assert tainted.origin is not None
    assert tainted.origin.name == "a"
    assert "s3cret" not in repr(tainted)


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ("a = {a}", "0.conf:1: a refers to itself: a -> a"),
        ("a = {b}\nb = {c}\nc = {a}", "0.conf:1: a refers to itself: a -> b -> c -> a"),
        ("a = {b}{c}\nb = {\nc = a}", "0.conf:1: a refers to itself: a -> a"),
        ("a = x {nope}", "0.conf:1: a refers to {nope}, which no file here sets"),
        ("a = { }", "0.conf:1: a refers to { }, which no file here sets"),
        ("a = x{}", "0.conf:1: a has a {} with no value below it"),
        ("x = {}\na = {x}", "0.conf:2: a has a {} with no value below it"),
    ],
)
def test_references_that_lead_nowhere(given_: str, told: str) -> None:
    assert complaint(stack(given_), "a").startswith(told)


def test_exponential_growth_is_stopped_before_it_costs_anything() -> None:
    laughs = "x0 = ha\n" + "\n".join(f"x{n} = " + f"{{x{n - 1}}}" * 10 for n in range(1, 40))
    assert "x39 comes to more than" in complaint(stack(laughs), "x39") or "references behind it" in complaint(
        stack(laughs), "x39"
    )
    silent = "x0 =\n" + "\n".join(f"x{n} = " + f"{{x{n - 1}}}" * 10 for n in range(1, 40))
    assert "x39 has more than 10000 references behind it" in complaint(stack(silent), "x39")
    wide = f"a = {'x' * 1000}\nb = " + "{a}" * 1000
    assert f"b comes to more than {MAX_LENGTH} characters" in complaint(stack(wide), "b")


@pytest.mark.slow
def test_a_long_chain_ends() -> None:
    chain = "x0 = end\n" + "\n".join(f"x{n} = {{x{n - 1}}}" for n in range(1, 5000))
    assert "more than 60 deep" in complaint(stack(chain), "x4999")
    assert text(stack(chain), "x50") == "end"


OPTIONS = ["a", "b", "c.d", "byoci", "vm.release", "testing.master.url"]
PIECES = st.sampled_from(
    [*OPTIONS, "{a}", "{b}", "{c.d}", "{{byoci}.master.url}", "{}", "{", "}", " ", "x", "{vm.user}"]
)
FILE = st.dictionaries(
    st.sampled_from(["", "vm", "vm-", "vm-1"]),
    st.dictionaries(st.sampled_from(OPTIONS), st.lists(PIECES, max_size=5).map("".join), max_size=6),
)


@pytest.mark.slow
@given(st.lists(FILE, max_size=3))
@settings(max_examples=50)
def test_every_evaluation_ends_in_a_value_or_a_reason(files: list[dict[str, dict[str, str]]]) -> None:
    texts = []
    for file in files:
        parts = [*file.get("", {}).items()]
        lines = [f"{name} = {value}" for name, value in parts]
        for section in sorted(filter(None, file)):
            lines += [f"[{section}]", *(f"{name} = {value}" for name, value in file[section].items())]
        texts.append("\n".join(lines))
    site = stack(*texts)
    for option in OPTIONS:
        for machine in (None, "vm", "vm-1", "other"):
            candidates = site.candidates(option, machine)
            value = outcome(site, option, machine)
            if isinstance(value, str):
                assert value.startswith(candidates[0].place if candidates else "the older")
                continue
            if value is None:
                assert not candidates
            else:
                assert len(value.text) <= MAX_LENGTH
                assert value.origin is (candidates[0] if candidates else None)
                assert value.origin is None or value.origin in value.used
