"""The one table of the older byoci's options: complete, consistent, and what every refusal of an older name reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoci.config import older
from byoci.config.older_options import DEFAULTS, GROUPS, NAMESPACED
from byoci.config.paths import NAMESPACES
from byoci.config.walk import known_keys

pytestmark = pytest.mark.host
PAGE = Path(__file__).parents[2] / "docs/older-options.md"
NAMES = [name for group in GROUPS for name in group.names.split()]


def test_the_page_is_what_the_table_says() -> None:
    told = "run: python -m byoci.config.older > docs/older-options.md"
    assert PAGE.read_text(encoding="utf-8") == older.render_page(), told


def test_every_option_stands_once_with_its_successor_or_the_reason() -> None:
    assert len(NAMES) == len(set(NAMES)) >= 290
    for group in GROUPS:
        assert group.fate in ("mapped", "later", "secret", "file", "refused")
        assert bool(group.now) == (group.fate != "refused")
        assert group.why.endswith(".") or group.fate != "refused"


def test_what_is_mapped_has_a_key_in_this_version() -> None:
    known = {".".join(key.path) for key in known_keys()}
    mapped = [group.now for group in GROUPS if group.fate == "mapped" and not group.now.startswith("--")]
    assert len(mapped) > 6
    assert set(mapped) <= known
    assert "project.NAME.setup.credentials" in known


def test_defaults_and_namespaces_are_of_options_in_the_table() -> None:
    assert tuple(older.NAMESPACES) == tuple(NAMESPACES)
    assert all(f"byoci.{option}" in NAMES for option in NAMESPACED)
    assert all(older.lookup(option) is not None for option in DEFAULTS)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("byoci.tests.command", "now it is project.NAME.tests.command. Tests have no network"),
        ("production.landing.email", "now it is site.landing.email"),
        ("landing.email", "now it is site.landing.email"),
        ("testing.slaves", "now it is machine.NAME (not in this version)"),
        ("vm.class", "now it is worker.NAME.backend or machine.NAME.backend (not in this version)"),
        ("vm.backing", "now it is worker.NAME.image"),
        ("testing.monitor.token", "it moves to the secrets folder"),
        ("project.secrets", "now it is project.NAME.setup.credentials. The setup command finds the file in"),
        ("selftest.admin.email", "it has no successor. byoci sends no mail"),
        ("qemu.mac.address", "it has no successor. Workers and machines are containers"),
        ("byoci", "now it is --namespace"),
        ("vm", "now it is machine.NAME (not in this version)"),
        ("slave", "now it is agent"),
        ("slave.anything.else", "now it is agent"),
        ("vm.cpus.more", "now it is machine.NAME (not in this version)"),
        ("ssh.options.more", "it has no successor. How byoci reaches repositories"),
    ],
)
def test_an_older_name_is_told_its_successor(option: str, told: str) -> None:
    assert str(older.told(tuple(option.split(".")))).startswith(told)


@pytest.mark.parametrize("name", ["nothing", "project", "site.landing.user.x", "staging.landing.user", "command", ""])
def test_other_names_are_nothing_older(name: str) -> None:
    assert older.told(tuple(name.split("."))) is None


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("byoci.test.command", "byoci.tests.command"),
        ("vm.ramsize", "vm.ram_size"),
        ("testing.landing.fulname", "testing.landing.fullname"),
        ("production.slave", "production.slaves"),
        ("qeum.image.setup", "qemu.image.setup"),
        ("acme.colour", None),
        ("x" * 100_000, None),
    ],
)
def test_the_nearest_older_name(option: str, meant: str | None) -> None:
    assert older.nearest(option) == meant


def test_secrets_are_known_by_the_table_or_by_their_names() -> None:
    assert all(map(older.is_secret, ("testing.monitor.token", "aws.secret", "ppa.password", "our.api_key", "token")))
    assert not any(map(older.is_secret, ("testing.secrets", "launchpad.credentials", "project.secrets", "tokens.dir")))
