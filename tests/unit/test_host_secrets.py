"""The secrets of a namespace: made once, whole and private; what is wrong with them is told without telling them."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from byoci.errors import UsageError
from byoci.host import secrets

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.host

PAIRS = {
    "landing_ed25519",
    "administration_ed25519",
    "controller/controller_ed25519",
    "agents/loopback/host_ed25519",
}
ALL = {*PAIRS, "site", "controller/webhook"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not shutil.which("ssh-keygen"):
        pytest.skip("missing: ssh-keygen")
    folder = tmp_path / "testing/secrets"
    folder.parent.mkdir()
    assert set(secrets.make(folder, "testing")) == ALL
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def kinds(folder: Path) -> set[tuple[str, str]]:
    found = secrets.check(folder)
    kept = [text for name, text in contents(folder).items() if not name.endswith((".pub", ".expires"))]
    for finding in found:
        told = f"{finding.details} {finding.resolution}".encode()
        assert not any(text.strip() and text.strip() in told for text in kept)
    return {(finding.path, finding.kind) for finding in found}


def test_they_are_made_once_and_private(folder: Path) -> None:
    before = contents(folder)
    assert set(before) == ALL | {f"{pair}.pub" for pair in PAIRS}
    assert secrets.make(folder, "testing") == []
    assert contents(folder) == before
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0
    assert secrets.check(folder) == []


def test_only_what_is_missing_is_made(folder: Path) -> None:
    before = contents(folder)
    for name in ("controller/webhook", "landing_ed25519", "administration_ed25519.pub"):
        (folder / name).unlink()
    missing = {("controller/webhook", "missing"), ("landing_ed25519", "missing")}
    assert kinds(folder) == {*missing, ("administration_ed25519.pub", "missing")}
    assert set(secrets.make(folder, "testing")) == {"controller/webhook", "landing_ed25519"}
    after = contents(folder)
    assert {name for name in before if after[name] != before[name]} == {
        "controller/webhook",
        "landing_ed25519",
        "landing_ed25519.pub",  # of the key that is gone
    }
    assert secrets.check(folder) == []


def test_several_at_once_make_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "testing/secrets"
    with ThreadPoolExecutor(4) as pool:
        made = [name for names in pool.map(lambda _: secrets.make(folder, "testing"), range(4)) for name in names]
    assert sorted(made) == sorted(ALL)
    assert secrets.check(folder) == []


def test_what_is_wrong_is_told(folder: Path) -> None:
    (folder / "site").chmod(0o644)
    (folder / "controller").chmod(0o750)
    shutil.copy(folder / "landing_ed25519.pub", folder / "administration_ed25519.pub")
    (folder / "agents/loopback/host_ed25519").write_text("no key\n")
    (folder / "link").symlink_to("/etc/passwd")
    for name, text in (("gone", "2020-01-31\n"), ("good", "2999-01-31\n"), ("odd", "soon\n")):
        (folder / name).write_text(f"token of {name}\n")
        (folder / name).chmod(0o600)
        (folder / f"{name}.expires").write_text(text)
        (folder / f"{name}.expires").chmod(0o644)
    before = contents(folder)
    assert kinds(folder) == {
        ("site", "permissions"),
        ("controller", "permissions"),
        ("administration_ed25519.pub", "mismatch"),
        ("agents/loopback/host_ed25519", "unusable"),
        ("link", "unusable"),
        ("gone", "expired"),
        ("odd.expires", "unusable"),
    }
    assert contents(folder) == before


def test_namespaces_share_nothing(folder: Path) -> None:
    other = folder.parent.parent / "production/secrets"
    secrets.make(other, "production")
    assert secrets.check(folder) == secrets.check(other) == []
    shutil.copy(folder / "controller/webhook", other / "token")
    assert kinds(other) == {("token", "shared")}
    assert kinds(folder) == {("controller/webhook", "shared")}


@pytest.mark.slow
def test_a_rotated_key_is_another_one_and_whole(folder: Path) -> None:
    before = contents(folder)
    secrets.rotate(folder, "testing")
    after = contents(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == {"controller/controller_ed25519", "controller/controller_ed25519.pub"}
    assert secrets.check(folder) == []
    # Killed in the midst of it: a draft, and a public half that is gone
    (folder / "controller/controller_ed25519.pub").unlink()
    subprocess.run(["ssh-keygen", "-qN", "", "-f", folder / "controller/.controller_ed25519.next"], check=True)
    secrets.rotate(folder, "testing")
    assert secrets.check(folder) == []
    assert set(contents(folder)) == set(before)


def test_no_site_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not made yet"):
        secrets.site_id(tmp_path)
    assert {finding.kind for finding in secrets.check(tmp_path)} == {"missing"}
