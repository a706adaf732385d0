"""Selection by `tree` and `depth`, and the answers' bytes."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.beans import Bean, answer, parse_tree
from byoci.controller.render import as_json, as_xml
from byoci.errors import UsageError

pytestmark = pytest.mark.controller


def build(number: int) -> Bean:
    return Bean("Build", {"number": number, "url": f"u{number}"}, lambda: {"result": "SUCCESS", "building": False})


def forbidden() -> list[Bean]:
    raise AssertionError("nobody asked for it")


JOB = Bean(
    "hudson.model.FreeStyleProject",
    {"name": "a<b", "url": "u"},
    lambda: {"builds": [build(number) for number in (3, 2, 1)], "lastBuild": build(3), "nothing": None},
    {"allBuilds": lambda: [build(number) for number in (3, 2, 1, 0)]},
)
HUDSON = Bean("hudson.model.Hudson", {}, lambda: {"jobs": [JOB], "mode": "NORMAL"})


def test_what_is_asked_for_is_told_in_full_and_what_is_in_it_in_brief() -> None:
    assert answer(HUDSON, tree=None, depth=None) == {
        "_class": "hudson.model.Hudson",
        "jobs": [{"_class": "hudson.model.FreeStyleProject", "name": "a<b", "url": "u"}],
        "mode": "NORMAL",
    }


def test_depth_tells_more() -> None:
    told = answer(HUDSON, tree=None, depth="1")
    assert told["jobs"][0]["lastBuild"] == {"_class": "Build", "number": 3, "url": "u3"}  # type: ignore[index,call-overload]
    told = answer(HUDSON, tree=None, depth="2")
    assert told["jobs"][0]["lastBuild"]["result"] == "SUCCESS"  # type: ignore[index,call-overload]
    assert "allBuilds" not in told["jobs"][0]  # type: ignore[index,call-overload,operator]


def test_a_tree_tells_exactly_what_it_names() -> None:
    assert answer(HUDSON, tree="jobs[name,allBuilds[number]{1,3}],unknown", depth=None) == {
        "_class": "hudson.model.Hudson",
        "jobs": [
            {
                "_class": "hudson.model.FreeStyleProject",
                "name": "a<b",
                "allBuilds": [{"_class": "Build", "number": 2}, {"_class": "Build", "number": 1}],
            }
        ],
    }


def test_a_star_is_every_field_of_its_level() -> None:
    told = answer(JOB, tree="*,lastBuild[result]", depth=None)
    assert told["lastBuild"] == {"_class": "Build", "result": "SUCCESS"}  # type: ignore[index,call-overload]
    assert told["builds"][0] == {"_class": "Build", "number": 3, "url": "u3"}  # type: ignore[index,call-overload]
    assert answer(JOB, tree="*[number]", depth=None)["builds"][0] == {"_class": "Build", "number": 3}  # type: ignore[index,call-overload]


def test_what_nobody_asks_for_is_not_made() -> None:
    bean = Bean("Job", {"name": "x"}, lambda: {"builds": forbidden()}, {"allBuilds": forbidden})
    assert answer(Bean("Hudson", {}, lambda: {"jobs": [bean]}), tree="jobs[name]", depth=None)
    assert answer(Bean("Hudson", {}, lambda: {"jobs": [bean]}), tree=None, depth="0")


@pytest.mark.parametrize("text", ["[", "a[", "a]", "a[]", "a,,b", ",", "a[b]{x}", "a b", "a[" * 30, "a" * 20_001, "a{"])
def test_a_tree_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tree(text)


@given(st.text(alphabet="ab[],{}*0 ", max_size=25))
def test_any_tree_is_read_or_refused(text: str) -> None:
    try:
        tree = parse_tree(text)
    except UsageError:
        return
    assert tree.fields


@pytest.mark.parametrize("depth", ["x", "1.5", "99999", ""])
def test_a_depth_that_is_no_number_is_refused(depth: str) -> None:
    with pytest.raises(UsageError):
        answer(JOB, tree=None, depth=depth)


def test_json_and_xml_say_the_same() -> None:
    told = answer(JOB, tree=None, depth="1")
    assert json.loads(as_json(told)) == told
    assert json.loads(as_json(told, pretty=True)) == told
    root = ET.fromstring(as_xml(told))
    assert root.tag == "freeStyleProject"
    assert root.get("_class") == "hudson.model.FreeStyleProject"
    assert root.findtext("name") == "a<b"
    assert [element.findtext("number") for element in root.findall("build")] == ["3", "2", "1"]
    assert root.findtext("lastBuild/building") == "false"


@given(st.text(), st.text(min_size=1))
def test_any_text_makes_well_formed_xml(value: str, name: str) -> None:
    root = ET.fromstring(as_xml({"_class": "x.Y", name: [value, {"_class": value, "a": 1}]}))
    assert root.tag == "y"
