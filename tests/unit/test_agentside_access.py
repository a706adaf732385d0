"""authorized_keys on an agent: people's lines stay byte for byte, and root follows no link of a user's."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.agentside.access import authorize, own_key, with_keys
from byoci.errors import UnavailableError
from byoci.host import agent_link
from byoci.host.agent_places import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.host

OWNER = "byoci:testing:0123456789abcdef"
KEYS = st.lists(st.sampled_from(["ssh-ed25519 AAAA", "ssh-ed25519 BBBB", "ssh-rsa CCCC"]), unique=True)
LINES = st.lists(st.sampled_from([b"", b"# a note", b"ssh-rsa DDDD ann", b'command="x" ssh-rsa EEEE', b"\xff \xfe"]))


@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans(), KEYS, KEYS)
def test_only_our_lines_change(
    lines: list[bytes], end: bytes, whole: bool, first: list[str], second: list[str]
) -> None:
    before = end.join(lines) + (end if whole and lines else b"")
    after = with_keys(before, OWNER, first)
    assert after.startswith(before)
    again = with_keys(after, OWNER, second)
    assert with_keys(again, OWNER, second) == again
    gone = with_keys(again, OWNER, [])
    assert gone.removesuffix(b"\n") == before.removesuffix(b"\n")
    ours = again[len(gone) :].decode().splitlines()
    assert ours == [f"restrict {key} {OWNER}" for key in second]


def test_a_file_is_made_private_and_keeps_its_mode_and_place(tmp_path: Path) -> None:
    path = tmp_path / "home/.ssh/authorized_keys"
    assert authorize(str(path), OWNER, ["ssh-rsa AAAA"])
    assert not authorize(str(path), OWNER, ["ssh-rsa AAAA"])
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    real = tmp_path / "dotfiles"
    path.rename(real)
    real.chmod(0o644)
    path.symlink_to(real)
    assert authorize(str(path), OWNER, [])
    assert path.is_symlink()
    assert (real.read_text(), real.stat().st_mode & 0o777) == ("", 0o644)
    assert [one.name for one in path.parent.iterdir()] == ["authorized_keys"]


def test_an_agent_makes_a_key_of_its_own_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not shutil.which("ssh-keygen"):
        pytest.skip("missing: ssh-keygen")
    path = str(tmp_path / "builds/workers")
    made = own_key(path)
    assert made.startswith("ssh-ed25519 ")
    assert own_key(path) == made
    Path(f"{path}.pub").unlink()
    assert own_key(path) == made
    monkeypatch.setenv("PATH", str(tmp_path))
    assert own_key(str(tmp_path / "builds/other")) == ""


def ask(place: Place, tmp_path: Path) -> dict[str, object]:
    keys = ["ssh-rsa AAAA"]
    request = {"user": place.user, "group": "", "file": place.file, "owner": OWNER, "keys": keys, "own": ""}
    return agent_link.ask(place, tmp_path / "none", request)


def test_on_this_machine_nobody_has_to_be_let_in(tmp_path: Path) -> None:
    file = tmp_path / "authorized"
    assert ask(Place("localhost", 22, getpass.getuser(), file=str(file)), tmp_path)["changed"]
    assert file.read_text() == f"restrict ssh-rsa AAAA {OWNER}\n"
    with pytest.raises(UnavailableError, match="cannot be changed"):
        ask(Place("localhost", 22, getpass.getuser(), file="/proc/version/authorized"), tmp_path)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users reach, unlike pytest's own."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_root_acts_as_the_user_whose_file_it_is(reachable: Path) -> None:
    nobody, tmp_path = pwd.getpwnam("nobody"), reachable
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    place = Place("localhost", 22, "nobody", file=str(home / "authorized"))
    assert ask(place, tmp_path)["changed"]
    assert (home / "authorized").stat().st_uid == nobody.pw_uid
    roots = tmp_path / "roots"
    roots.mkdir(0o700)
    (roots / "keys").write_text("ssh-rsa ZZZZ root\n")
    (home / "authorized").unlink()
    (home / "authorized").symlink_to(roots / "keys")
    with pytest.raises(UnavailableError, match="Permission denied"):
        ask(place, tmp_path)
    assert (roots / "keys").read_text() == "ssh-rsa ZZZZ root\n"
