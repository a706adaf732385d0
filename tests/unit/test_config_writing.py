"""A project's section is written so that reading it gives what was meant, and nothing else of the file changes."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config.detect import Detected
from byoci.config.detect_tests import SetupProposal, TestProposal
from byoci.config.loading import check, load
from byoci.config.source import parse
from byoci.config.writing import add_project, quoted, render_project, target_file
from byoci.errors import ConfigError, NothingToDoError, UnavailableError, UsageError
from byoci.model import Location

SITE = '[site]\nlanding.fullname = "A"\nlanding.email = "a@b"\n'
PYTEST = TestProposal(
    '"$HOME/venv/bin/python" -m pytest',
    "pyproject.toml",
    SetupProposal(("python3 -m venv x", 'x/bin/pip install "y"'), ("requirements.txt",)),
    {"PYTHONPATH": "src"},
)


def detected(name: str = "hello", trunk: str = "/srv/hello;main", tests: TestProposal | None = PYTEST) -> Detected:
    return Detected("git", Location.parse(trunk), name, tests)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_being_quoted(text: str) -> None:
    assert tomllib.loads(f"a = {quoted(text)}")["a"] == text


def test_what_is_rendered_reads_as_what_was_detected() -> None:
    text = render_project(detected())
    project = check(parse((SITE + text).encode(), Path("/x")), "testing", {"HOME": "/h"}).project("hello")
    assert (project.vcs, str(project.trunk), project.approve.minimum) == ("git", "/srv/hello;main", 0)
    assert project.tests.command == (PYTEST.command,)
    assert project.tests.environment == {"PYTHONPATH": "src"}
    assert PYTEST.setup is not None
    assert project.setup.command == PYTEST.setup.command
    assert project.setup.inputs == ("requirements.txt",)
    assert project.setup.network
    assert not project.tests.network


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip),
    st.sampled_from(["hello", "a.b", "+x", "9", "A_b-c"]),
)
def test_the_persons_command_and_name_count(command: str, name: str) -> None:
    text = render_project(detected(tests=None), name=name, test=command, minimum=2)
    project = check(parse((SITE + text).encode(), Path("/x")), "testing", {"HOME": "/h"}).project(name)
    assert project.tests.command == (command,)
    assert project.setup.command == ()
    assert project.approve.minimum == 2


def test_without_any_test_command_the_person_is_asked_for_one() -> None:
    with pytest.raises(UsageError, match="how is this project tested") as caught:
        render_project(detected(tests=None))
    assert "--test" in caught.value.resolution
    for wrong in ("", " \n", "a\0"):
        with pytest.raises(UsageError, match="test command is empty"):
            render_project(detected(), test=wrong)
    with pytest.raises(UsageError, match="no good name"):
        render_project(detected(), name="../x")


def add(path: Path, text: str) -> None:
    add_project(path, text, namespace="testing", environ={"HOME": "/h"})


def test_a_new_file_is_private_and_complete(tmp_path: Path) -> None:
    path = tmp_path / "config/byoci/byoci.toml"
    add(path, render_project(detected()))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    loaded = load(path, environ={"HOME": "/h"})
    assert loaded.site.landing.fullname == "Landing Bot"
    assert list(loaded.projects) == ["hello"]
    assert [entry.name for entry in path.parent.iterdir()] == ["byoci.toml"]


@pytest.mark.parametrize("before", ["", "# mine\n", "\n"])
def test_a_file_that_says_nothing_gets_a_site(tmp_path: Path, before: str) -> None:
    path = tmp_path / "byoci.toml"
    path.write_text(before)
    add(path, render_project(detected()))
    assert path.read_text().startswith(before)
    assert load(path, environ={"HOME": "/h"}).site.landing.email == "landing-bot@localhost"


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", " # no newline", "\r\n", "\n[namespace.production.site]\n"])
def test_what_stands_there_stays_byte_for_byte(tmp_path: Path, end: str) -> None:
    path = tmp_path / "byoci.toml"
    before = (SITE.replace("\n", "\r\n") + "# häßlich   gesetzt" + end).encode()
    path.write_bytes(before)
    path.chmod(0o640)
    add(path, render_project(detected()))
    add(path, render_project(detected("again", "/srv/again;main")))
    assert path.read_bytes().startswith(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(load(path, environ={"HOME": "/h"}).projects) == ["hello", "again"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles/byoci.toml", tmp_path / "byoci.toml"
    real.parent.mkdir()
    real.write_text(SITE)
    link.symlink_to(real)
    add(link, render_project(detected()))
    assert link.is_symlink()
    assert "[project.hello]" in real.read_text()


@pytest.mark.parametrize(
    ("name", "trunk", "error", "told"),
    [
        ("hello", "/srv/hello;main", NothingToDoError, 'gated already, as project "hello"'),
        ("other", "/srv/hello/;main", NothingToDoError, 'gated already, as project "hello"'),
        ("other", "file:///srv/hello;main", NothingToDoError, 'gated already, as project "hello"'),
        ("hello", "/srv/other;main", UsageError, 'a project "hello" already, with another trunk'),
    ],
)
def test_a_project_is_not_added_twice(tmp_path: Path, name: str, trunk: str, error: type[Exception], told: str) -> None:
    path = tmp_path / "byoci.toml"
    add(path, render_project(detected()))
    before = path.read_bytes()
    with pytest.raises(error, match=told):
        add(path, render_project(detected(name, trunk)))
    assert path.read_bytes() == before


@pytest.mark.parametrize("before", ["a = \n", "[projekt]\n", "project = {}\n" + SITE, "[site]\n"])
def test_a_file_that_is_wrong_or_would_be_is_left_alone(tmp_path: Path, before: str) -> None:
    path = tmp_path / "byoci.toml"
    path.write_text(before)
    with pytest.raises(ConfigError) as caught:
        add(path, render_project(detected()))
    assert ("cannot be added" in caught.value.brief) == ("project = {}" in before)
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["byoci.toml"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnavailableError, match="cannot be written"):
        add(tmp_path / "file/byoci.toml", render_project(detected()))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises((ConfigError, UnavailableError)):
        add(tmp_path / "loop", render_project(detected()))
    with pytest.raises(ConfigError, match="regular file"):
        add(tmp_path, render_project(detected()))


@pytest.mark.skipif(os.getuid() == 0, reason="root can write everywhere")
def test_a_folder_of_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(UnavailableError, match="Permission denied"):
        add(tmp_path / "byoci.toml", render_project(detected()))
    tmp_path.chmod(0o755)


def test_where_a_new_project_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
    assert target_file(Path("x.toml"), environ) == tmp_path / "x.toml"
    assert target_file(None, environ | {"BYOCI_CONFIG": "/y.toml"}) == Path("/y.toml")
    assert target_file(None, environ) == tmp_path / "home/.config/byoci/byoci.toml"
    (tmp_path / "byoci.toml").write_text(SITE)
    assert target_file(None, environ) == tmp_path / "byoci.toml"
