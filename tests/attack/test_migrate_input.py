"""An older configuration that somebody wrote against whoever migrates it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byoci.config.migrate import files
from byoci.config.migrate.carrying import carry_out
from byoci.config.migrate.older_site import MAX_OPTIONS
from byoci.config.migrate.plan import Plan
from byoci.config.migrate.wrong import MigrationError
from byoci.errors import UsageError
from older_team import FILES, planned, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.host


def refusal(folder: Path, *more: Path) -> str:
    before = tree(folder.parent)
    with pytest.raises(MigrationError) as caught:
        carry_out(planned(folder, *more), force=False, keep=False)
    assert tree(folder.parent) == before
    assert len(str(caught.value)) < 10_000
    return caught.value.details


def outcome(folder: Path) -> Plan | str:
    """The plan, or what is wrong."""
    try:
        return planned(folder)
    except MigrationError as error:
        return error.details


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


@pytest.fixture
def team(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("mine")
    (tmp_path / "outside/own.conf").write_text("x = 1\n")
    return write(tmp_path / "ci", FILES)


@pytest.mark.parametrize(
    "name", ["byov.conf.d/link.conf", "jobs/link.yaml", "byoci.conf", "existing-vms.conf", "conf.d"]
)
def test_links_out_of_the_folder_are_not_followed(team: Path, name: str) -> None:
    (team / name).symlink_to(team.parent / ("outside" if name == "conf.d" else "outside/own.conf"))
    assert refusal(team) == f"{team / name}: leads out of the folders that were named"


@pytest.mark.parametrize("dangling", [True, False])
def test_the_file_is_not_written_through_a_link(team: Path, dangling: bool) -> None:
    target = team.parent / ("outside/new" if dangling else "outside/secret")
    (team / "byoci.toml").symlink_to(target)
    with pytest.raises(UsageError, match=r"byoci.toml is a link"):
        carry_out(planned(team), force=True, keep=False)
    assert target.exists() is not dangling
    assert (team.parent / "outside/secret").read_text() == "mine"


def test_a_link_within_the_folders_is_one_file(team: Path) -> None:
    plain = planned(team).text
    (team / "byov.conf.d/again.conf").symlink_to(team / "byov.conf")
    (team / "conf.d").symlink_to("byov.conf.d")
    assert planned(team).text == plain


def test_links_in_a_circle_end(team: Path) -> None:
    (team / "byov.conf.d/loop.conf").symlink_to(team / "byov.conf.d/loop.conf")
    assert "loop.conf: the configuration file cannot be read: Too many levels" in refusal(team)
    (team / "byov.conf.d/loop.conf").unlink()
    (team / "deep").symlink_to(team)
    write(team, {"byov.conf.d/zz.conf": f"testing.host.secrets = {team}\n"})
    assert any("deep" not in note for note in planned(team).notes)


def test_pipes_and_devices_do_not_make_it_wait(team: Path) -> None:
    os.mkfifo(team / "byov.conf.d/pipe.conf")
    (team / "byov.conf.d/null.conf").mkdir()
    told = refusal(team)
    assert "pipe.conf: the configuration must be a regular file" in told
    assert "null.conf: the configuration must be a regular file" in told


@pytest.mark.parametrize("raw", [b"x = \xff\n", b"\xfe\xff\x00x", b"x = 1\n" * 3 + b"y = \xc3"])
def test_what_is_not_utf8_is_told_with_its_line(team: Path, raw: bytes) -> None:
    (team / "byov.conf.d/raw.conf").write_bytes(raw)
    line = raw[: raw.rfind(b"\n") + 1].count(b"\n") + 1 if raw.startswith(b"x = 1") else 1
    assert refusal(team).startswith(f"{team}/byov.conf.d/raw.conf:{line}: the byte 0x")


@pytest.mark.slow
def test_huge_files_and_many_of_them_are_refused(team: Path) -> None:
    huge = team / "byov.conf.d/huge.conf"
    huge.write_bytes(b"#" * (1024 * 1024 + 1))
    assert "huge.conf: the configuration file is larger than" in refusal(team)
    huge.write_text("".join(f"x{number} = 1\n" for number in range(MAX_OPTIONS)))
    assert refusal(team) == f"there are more than {MAX_OPTIONS} options"
    huge.write_text("".join(f"[x{number}]\n" for number in range(2000)))
    assert refusal(team) == "there are more than 1000 sections"
    huge.unlink()
    for number in range(5):
        (team / f"byov.conf.d/big{number}.conf").write_bytes(b"#" * (1024 * 1024 - 1))
    assert f"the files are larger than {files.MAX_BYTES} bytes together" in refusal(team)
    for number in range(files.MAX_FILES):
        (team / f"byov.conf.d/big{number}.conf").write_bytes(b"")
    assert f"there are more than {files.MAX_FILES} files" in refusal(team)


@pytest.mark.slow
def test_a_megabyte_of_each_trick_is_read_in_one_pass(team: Path) -> None:
    for line in ("http://", "a.token=x\t", " " * 99, "{" * 99, "# byoci migrate moved a to ", "[x", "a", "a.-", "@:/"):
        write(team, {"byov.conf.d/zz.conf": f"x = 1\n# {line * (1024 * 1000 // len(line))}\n"})
        found = planned(team)
        assert "zz.conf" not in found.text
    write(team, {"byov.conf.d/zz.conf": "# http://ann:hunter22@example.com/\n" * 2000})
    assert "there are more than 1000 secrets" in refusal(team)


@pytest.mark.parametrize(
    "value",
    [
        *("../../outside/secret:x", "/etc/hostname:x", "{x}/../../outside/secret:x", "~/secret:x"),
        *("outside-link:x", "../outside/secret:x"),
    ],
)
def test_no_file_outside_of_the_folders_is_taken(team: Path, value: str) -> None:
    (team / "outside-link").symlink_to(team.parent / "outside/secret")
    (team.parent / "home").mkdir()
    (team.parent / "home/secret").write_text("mine")
    write(team, {"byov.conf.d/zz.conf": f"x = a\n[anvil]\nproject.secrets = {value}\n"})
    before = tree(team.parent)
    found = planned(team)
    carry_out(found, force=False, keep=False)
    after = tree(team.parent)
    after.pop(str(team / "byoci.toml"))
    assert after == before
    assert any("was left: it is in none of the folders" in note for note in found.notes)


@pytest.mark.parametrize("name", ["byov.conf", "byov.conf.d/zz.conf", "jobs/land.yaml", "anvil.packages"])
def test_no_part_of_the_configuration_is_taken_for_a_secret(team: Path, name: str) -> None:
    write(team, {"byov.conf.d/zz.conf": f"launchpad.credentials = {name}\n"})
    assert refusal(team).endswith("an option names it as a secret, and it is a part of the configuration")


@pytest.mark.parametrize("option", ["launchpad.credentials", "gitlab.api.credentials", "ssh.key", "ssh.server_keys"])
def test_no_credential_outside_of_the_folders_is_taken(team: Path, option: str) -> None:
    write(team, {"byov.conf.d/zz.conf": f"{option} = {team.parent}/outside/secret\n"})
    found = planned(team)
    carry_out(found, force=False, keep=False)
    assert (team.parent / "outside/secret").read_text() == "mine"
    assert not (team.parent / "home/.byoci").exists()
    assert any("outside/secret was left" in note for note in found.notes)


def test_packages_are_not_read_from_outside_of_the_folders(team: Path) -> None:
    write(team, {"byov.conf.d/zz.conf": "[anvil]\nvm.packages = x\n[anvil-3.1]\nvm.packages = @../outside/secret\n"})
    assert "outside/secret: leads out of the folders that were named" in refusal(team)


@pytest.mark.parametrize("key", ["../../../x", "a/b", "-oProxyCommand=x", ".", "..", "x\x07", "é", "a b", "x" * 300])
def test_names_of_keys_cannot_lead_elsewhere(team: Path, key: str) -> None:
    write(team, {"byov.conf.d/zz.conf": f"testing.host.secrets = {team}\ntesting.slave.ssh.key = {key}\n"})
    assert "is no name of a key or a token" in refusal(team)


@pytest.mark.parametrize(
    "section", ["..", ".", "a/../../b-", "/etc/", "%2e%2e.", "x\x1b[2J-", "a\\b-", "é" * 200 + "-"]
)
def test_secrets_of_odd_sections_stay_below_the_secrets_folder(team: Path, section: str) -> None:
    write(team, {"byov.conf.d/zz.conf": f"[{section}]\nour.token = hunter22\n"})
    found = planned(team)
    (secret,) = found.secrets
    assert not [note for note in found.notes if "\x1b" in note]
    older = team.parent / "home/.byoci/testing/secrets/older"
    assert secret.target.parent.parent == older
    assert os.path.normpath(secret.target) == str(secret.target)
    assert secret.target.name == "our.token"
    carry_out(found, force=False, keep=False)
    assert secret.target.read_text() == "hunter22\n"


@pytest.mark.parametrize("name", ["a\x1b[31m", "-x", "a;b", 'a"b', "a b", "x" * 101, "a\u202eb"])
def test_names_that_would_be_words_of_a_command_line_are_refused(team: Path, name: str) -> None:
    write(team, {"byov.conf.d/zz.conf": f"[{name}]\nvm.class = lxd\nbyoci.tests.command = make\n"})
    if not name[-1].isalnum():
        write(team, {"byov.conf.d/zy.conf": f"testing.slaves = {name}\n"})
    told = refusal(team)
    assert "is no good name" in told
    assert not [letter for letter in told if letter in "\x1b\u202e"]


def test_control_characters_do_not_reach_the_file_raw(team: Path) -> None:
    command = 'make "x" \x1b[31m \x7f \\ \x01 \u202e'
    write(team, {"byov.conf.d/zz.conf": f"[rocket-2]\nbyoci.tests.command = {command}\nvm.backing = rocket\n"})
    found = planned(team)
    assert not [letter for letter in found.text if ord(letter) < 32 and letter != "\n"]
    assert "\x7f" not in found.text


def test_a_forged_trace_of_an_earlier_migration_takes_nothing(team: Path) -> None:
    write(team, {"byov.conf.d/zz.conf": "# byoci migrate moved launchpad.login to /etc/passwd\n[rocket]\n"})
    found = planned(team)
    assert not found.secrets
    assert not found.cuts


@given(st.text(alphabet=st.sampled_from(list("-: {}[]'\"|>&*!#\n\\,abjobs")), max_size=200))
@settings(max_examples=30)
def test_jobs_of_any_kind_are_read_or_told(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = write(tmp_path_factory.mktemp("jobs") / "ci", {"byov.conf": "a = 1\n"})
    write(folder, {"jobs/a.yaml": f"- job:\n  x: byo-ci-slave land-approved-git-proposal {text}\n- {text}"})
    told = outcome(folder)
    assert isinstance(told, Plan) or "jobs/a.yaml" in told or "name" in told


WORDS = st.sampled_from(
    [
        *("a = {b}", "b = {a}", "[a]", "[b]", "byoci = testing", "testing.slaves = a,b", "vm.class = lxd", "[ab]"),
        *("x.token = 1234567890", "testing.host.secrets = .", "project.secrets = a:b", "vm.release = {}", "\t", "}"),
        *("byoci.tests.command = make {a}", "testing.master.url = http://u:p@h", "vm.packages = @byov.conf"),
        *("vm.backing = a", "\x00", "ssh.key = byov.conf"),
    ]
)


@pytest.mark.slow
@given(st.lists(WORDS, max_size=12))
@settings(max_examples=60)
def test_any_mixture_is_migrated_or_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder = write(tmp_path_factory.mktemp("mixture") / "ci", {"byov.conf": "\n".join(lines)})
    found = outcome(folder)
    if not isinstance(found, Plan):
        assert found
        assert not (folder / "byoci.toml").exists()
        return
    assert "1234567890" not in found.text
    assert "u:p@" not in found.text
    carry_out(found, force=False, keep=False)
    assert planned(folder).text == found.text
