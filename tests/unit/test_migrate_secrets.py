"""Secrets of an older site: they move to the secrets folder, whole, and never come into the definition."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from byoci.config.migrate.carrying import carry_out
from byoci.config.migrate.wrong import MigrationError
from byoci.errors import UnavailableError, UsageError
from older_team import FILES, planned, rows, write

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.migrate.plan import Plan

pytestmark = pytest.mark.host
KEYS = {
    "master/ssh/keys/jenkins@smithy-master-testing": "master key",
    "master/ssh/keys/jenkins@smithy-master-testing.pub": "master key, public",
    "slaves/ssh/keys/jenkins@smithy-slave-testing": "slave key",
    "slaves/ssh/keys/jenkins@smithy-slave-testing.pub": "slave key, public",
    "launchpad/production": "oauth",
    "extra/pypi-token": "pypi",
    "extra/stray": "stray",
    ".git/config": "git",
}
VALUES = """\
testing.host.secrets = {secrets}
gitlab.api.credentials = {secrets}/gitlab-token
[smithy-monitor-testing]
testing.monitor.token = 11aabb22cc
[anvil]
project.secrets = extra/pypi-token:.config/pypi-token
ppa.password = {{ppa.owner}}-s3cret  # from ann
ppa.owner = smithy
apt.proxy = http://ann:hunter22@10.0.3.1:3128/
"""


@pytest.fixture
def team(tmp_path: Path) -> Path:
    secrets = write(tmp_path / "secrets", {**KEYS, "gitlab-token": "gitlab"})
    return write(tmp_path / "ci", {**FILES, "byov.conf.d/zz.conf": VALUES.format(secrets=secrets)})


def done(team: Path, *, keep: bool = False, force: bool = False) -> Plan:
    found = planned(team, team.parent / "secrets")
    carry_out(found, force=force, keep=keep)
    return found


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_keys_tokens_and_passwords_move(team: Path) -> None:
    found = done(team)
    secrets = team.parent / "home/.byoci/testing/secrets"
    moved = files(secrets)
    config = moved.pop("ssh_config")
    assert moved == {
        "ssh/jenkins@smithy-master-testing": "master key",
        "ssh/jenkins@smithy-master-testing.pub": "master key, public",
        "ssh/jenkins@smithy-slave-testing": "slave key",
        "ssh/jenkins@smithy-slave-testing.pub": "slave key, public",
        "launchpad/production": "oauth",
        "gitlab/gitlab-token": "gitlab",
        "setup/anvil/pypi-token": "pypi",
        "setup/anvil-3.1/pypi-token": "pypi",
        "older/smithy-monitor-testing/testing.monitor.token": "11aabb22cc\n",
        "older/anvil/ppa.password": "smithy-s3cret\n",
        "older/1-byov.conf.d.zz.conf-9-1": "http://ann:hunter22@10.0.3.1:3128/\n",
    }
    assert f'IdentityFile "{secrets}/ssh/jenkins@smithy-slave-testing"' in config
    assert "Host bazaar.launchpad.net git.launchpad.net\n    User smithy-bot-testing\n" in config
    assert files(team.parent / "secrets") == {"extra/stray": "stray", ".git/config": "git"}
    left = (team / "byov.conf.d/zz.conf").read_text().splitlines()[3:]
    assert left == [
        f"# byoci migrate moved testing.monitor.token to {secrets}/older/smithy-monitor-testing/testing.monitor.token",
        "[anvil]",
        "project.secrets = extra/pypi-token:.config/pypi-token",
        f"# byoci migrate moved ppa.password to {secrets}/older/anvil/ppa.password  # from ann",
        "ppa.owner = smithy",
        "apt.proxy = http://ann@10.0.3.1:3128/",
    ]
    told = {name: row for name, row in rows(found).items() if row.fate == "moved"}
    assert told["[smithy-monitor-testing] testing.monitor.token"].now.startswith("testing/secrets/older/smithy-monitor")
    assert set(told) == {
        *("testing.host.secrets", "gitlab.api.credentials", "[smithy-monitor-testing] testing.monitor.token"),
        *("[anvil] project.secrets", "[anvil] ppa.password"),
    }
    assert any("left in" in note and "extra/stray" in note and ".git" not in note for note in found.notes)


def test_nobody_else_can_read_them(team: Path) -> None:
    home = team.parent / "home/.byoci"
    (home / "testing/secrets").mkdir(parents=True, mode=0o755)
    home.chmod(0o700)
    (home / "testing").chmod(0o700)
    write(team, {"byov.conf.d/zy.conf": "[secrets]\nown.token = hunter22\n"})
    done(team)
    assert (home / "testing/secrets/older/secrets/own.token").exists()
    for path in home.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((team / "byoci.toml").stat().st_mode) == 0o600


def test_no_secret_is_in_the_definition_or_in_what_is_told(team: Path) -> None:
    found = done(team)
    told = f"{found!r} {found.text} {found.rows} {found.notes}"
    for word in ("11aabb22cc", "s3cret", "hunter22", "slave key"):
        assert word not in told
    everything = "".join(files(team).values())
    assert not [word for word in ("11aabb22cc", "hunter22", "s3cret") if word in everything]


def test_again_it_does_nothing_and_says_the_same(team: Path) -> None:
    first = done(team)
    before = {path: path.stat().st_mtime_ns for path in team.parent.rglob("*")}
    again = planned(team, team.parent / "secrets")
    assert again.text == first.text
    assert not carry_out(again, force=False, keep=False)
    assert {path: path.stat().st_mtime_ns for path in team.parent.rglob("*")} == before
    assert rows(again)["[anvil] ppa.password"].why == "An earlier migration moved it."
    assert not again.cuts


def test_copies_for_a_site_that_the_older_byoci_still_serves(team: Path) -> None:
    before = files(team) | files(team.parent / "secrets")
    done(team, keep=True)
    after = files(team) | files(team.parent / "secrets")
    assert after.pop("byoci.toml")
    assert after == before
    assert "setup/anvil/pypi-token" in files(team.parent / "home/.byoci/testing/secrets")
    done(team)
    assert not (team.parent / "secrets/launchpad/production").exists()


def test_what_is_outside_of_the_named_folders_is_left_and_told(team: Path) -> None:
    before = files(team.parent / "secrets")
    found = planned(team)
    carry_out(found, force=False, keep=False)
    assert files(team.parent / "secrets") == before
    told = rows(found)
    assert (told["testing.host.secrets"].fate, told["gitlab.api.credentials"].fate) == ("refused", "refused")
    assert any(note.startswith("testing: the secrets in ") and "Name it too" in note for note in found.notes)
    assert any("gitlab-token was left" in note for note in found.notes)


def test_another_secret_in_the_new_place_is_not_overwritten(team: Path) -> None:
    place = team.parent / "home/.byoci/testing/secrets/launchpad/production"
    write(place.parent, {"production": "mine"})
    before = files(team.parent)
    with pytest.raises(MigrationError, match="cannot be migrated") as caught:
        done(team)
    assert f"there is another {place} already" in caught.value.details
    assert files(team.parent) == before


def test_an_ssh_config_of_ones_own_is_left(team: Path) -> None:
    folder = write(team.parent / "home/.byoci/testing/secrets", {"ssh_config": "Host *\n"})
    found = done(team)
    assert (folder / "ssh_config").read_text() == "Host *\n"
    assert any("ssh_config is yours: let it name the key" in note for note in found.notes)


def test_a_configuration_that_is_there_is_not_overwritten(team: Path) -> None:
    write(team, {"byoci.toml": "# mine\n"})
    before = files(team.parent)
    with pytest.raises(UsageError, match="another configuration already"):
        done(team)
    assert files(team.parent) == before
    (team / "byoci.toml").chmod(0o644)
    found = done(team, force=True)
    assert (team / "byoci.toml").read_text() == found.text
    assert stat.S_IMODE((team / "byoci.toml").stat().st_mode) == 0o644


def test_a_secret_that_changed_since_it_was_read_stays(team: Path) -> None:
    found = planned(team, team.parent / "secrets")
    write(team.parent / "secrets", {"launchpad/production": "renewed"})
    write(team, {"byov.conf.d/zz.conf": "renewed.token = 1\n"})
    carry_out(found, force=False, keep=False)
    assert (team.parent / "secrets/launchpad/production").read_text() == "renewed"
    assert (team / "byov.conf.d/zz.conf").read_text() == "renewed.token = 1\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_what_cannot_be_cleared_away_is_told(team: Path) -> None:
    folder = team.parent / "secrets/launchpad"
    folder.chmod(0o500)
    with pytest.raises(UnavailableError, match="the migration stopped") as caught:
        done(team)
    assert "No secret left its place without a copy." in caught.value.resolution
    folder.chmod(0o700)
    done(team)
    assert not (folder / "production").exists()


def test_a_place_that_cannot_be_written_is_told(team: Path) -> None:
    before = files(team.parent)
    found = planned(team, team.parent / "secrets", output=team / "byov.conf/byoci.toml")
    with pytest.raises(UnavailableError, match="the migration stopped"):
        carry_out(found, force=False, keep=False)
    assert files(team.parent) == before


@pytest.mark.parametrize(
    "line",
    [
        "byoci.tests.command = TOKEN={ppa.password} make check",
        "byoci.tests.command = curl https://ann:hunter22@example.com/",
        "byoci.setup.command = pip install -i https://0123456789abcdef0123@example.com/simple x",
        "byoci.tests.command = PASSWORD=hunter22 make check",
        "byoci.tests.command = make check --api-token=abcdef",
    ],
)
def test_a_secret_in_a_command_is_refused_whole(team: Path, line: str) -> None:
    write(team, {"byov.conf.d/aa.conf": f"[rocket]\n{line}\nppa.password = hunter22\n"})
    before = files(team.parent)
    with pytest.raises(MigrationError) as caught:
        planned(team)
    assert "aa.conf:2: byoci." in caught.value.details
    assert "holds a secret, and the definition is no place for one" in caught.value.details
    assert "project.secrets" in caught.value.resolution
    assert "hunter22" not in str(caught.value)
    assert files(team.parent) == before


@pytest.mark.parametrize("line", ["TOKEN=$TOKEN make", "TOKEN='' make", "make TOKEN_FILE=/run/x", "tokens=/x make"])
def test_commands_that_only_speak_of_secrets_are_fine(team: Path, line: str) -> None:
    write(team, {"byov.conf.d/aa.conf": f"[rocket]\nbyoci.tests.command = {line}\n"})
    assert line.replace('"', '\\"') in planned(team).text


def test_a_secret_in_another_options_value_is_refused_whole(team: Path) -> None:
    write(team, {"byov.conf.d/aa.conf": "[rocket]\nvm.release = {[x]}\n".replace("[x]", "testing.monitor.token")})
    write(team, {"byov.conf.d/ab.conf": "testing.monitor.token = 11aabb22cc\n"})
    with pytest.raises(MigrationError) as caught:
        planned(team)
    assert caught.value.details.endswith("aa.conf:2: a secret would come into the definition, as image.rocket.base")


def test_passwords_of_urls_that_are_made_from_parts_stay_out_before_and_after(tmp_path: Path) -> None:
    text = "testing.master.url = http://ann:{ci.password}@ci:8080\nci.password = hunter22\n"
    folder = write(tmp_path / "ci", {"byov.conf": text})
    first = planned(folder)
    carry_out(first, force=False, keep=False)
    assert "hunter22" not in first.text
    assert 'url = "http://ci:8080"' in first.text
    assert planned(folder).text == first.text


def test_secrets_that_differ_between_files_have_places_of_their_own(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "ci",
        {
            "byov.conf": "a.token = one\nb = 1\tc.token = two\td = {b}\n",
            "conf.d/x.conf": "a.token = three\r\ne = 1\r\n",
        },
    )
    carry_out(planned(folder), force=False, keep=False)
    older = tmp_path / "home/.byoci/testing/secrets/older"
    assert files(older) == {"a.token": "one\n", "a.token-2": "three\n", "c.token": "two\n"}
    assert (folder / "byov.conf").read_text() == (
        f"# byoci migrate moved a.token to {older}/a.token\n"
        f"b = 1\t# byoci migrate moved c.token to {older}/c.token\n\td = {{b}}\n"
    )
    assert (folder / "conf.d/x.conf").read_bytes().endswith(b"a.token-2\r\ne = 1\r\n")
    assert not carry_out(planned(folder), force=False, keep=False)
    write(folder, {"byov.conf": (folder / "byov.conf").read_text() + "a.token = renewed\n"})
    with pytest.raises(MigrationError):
        carry_out(planned(folder), force=False, keep=False)


def test_passwords_in_jobs_and_comments(tmp_path: Path) -> None:
    job = "- job:\n    shell: byo-ci-slave land-approved-git-proposal https://ann:hunter22@git.example.com/a work a\n"
    folder = write(
        tmp_path / "ci",
        {
            "byov.conf": "# was http://bob:hunter23@old/\n[a]\nvm.class = lxd\nbyoci.tests.command = make\n",
            "jobs/a.yaml": job,
        },
    )
    found = planned(folder)
    carry_out(found, force=False, keep=False)
    assert 'trunk = "https://ann@git.example.com/a;master"' in found.text
    assert planned(folder).text == found.text
    assert "hunter" not in "".join(files(folder).values())
    assert sorted(files(tmp_path / "home/.byoci/testing/secrets/older").values()) == [
        "http://bob:hunter23@old/\n",
        "https://ann:hunter22@git.example.com/a\n",
    ]
