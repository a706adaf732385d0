"""The definition of a site to be tried on: its configuration, in a git repository, with a private folder beside it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from byoci import proc
from byoci.config.writing import quoted
from byoci.host.repositories import appearing
from byoci.store.certificates import make_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from byoci.model import Location

_HEAD: Final = """\
# The site of the namespace {namespace}, made by byoci-install. It is yours: change it, and commit.
# `byoci config` shows every value and where it comes from.

[site]
# Who commits landings. Change both before the first landing, not after: by them byoci knows its own commits.
landing.fullname = "byoci"
landing.email = "byoci@localhost"
"""

_LIMITS: Final = """
[worker.default]
time = "10m"
memory = "1G"
disk = "2G"

[team.reviewers]
members = ["alice"]
"""

_OWN: Final = """
# Projects: `byoci --namespace {namespace} init PATH` adds the one whose repository is at PATH.
"""

_APART: Final = """
# Apart from all else: any free ports.
[controller]
port = 0
[monitor]
port = 0
"""

PACKAGES: Final = "tests-packages.tar.gz"
"""In byoci's own repository: what its tests need."""

_HELLO: Final = """
[project.{name}]
vcs = "{vcs}"
trunk = {trunk}
tests.command = "./run-tests"
tests.results = ["results.xml"]
approve.trusted = ["reviewers"]
"""

# What the tests of byoci itself need is unpacked once, into a layer below them; no worker has a network.
_BYOCI: Final = """
[project.byoci]
vcs = "git"
trunk = {trunk}
setup.command = [
    '{python} -m venv --without-pip "$HOME/venv"',
    'tar -xf {packages} -C "$HOME"/venv/lib/python*/site-packages',
    '"$HOME/venv/bin/python" -m compileall -q -j 0 "$HOME/venv"',
]
setup.inputs = ["{packages}"]
tests.command = '"$HOME/venv/bin/python" -m pytest tests/unit -n logical --maxprocesses 4 --junitxml=results.xml'
tests.environment = {{ PYTHONPATH = "src", PYTHONDONTWRITEBYTECODE = "1" }}
tests.results = ["results.xml"]
approve.trusted = ["reviewers"]
"""


def render(namespace: str, trunks: Mapping[str, Location], python: str = "python3") -> str:
    """The configuration of a site with these projects, as TOML; `python` is what byoci's own tests run with."""
    head = _HEAD.format(namespace=namespace)
    if not trunks:
        return head + _OWN.format(namespace=namespace)
    parts = [head, _LIMITS]
    for name, trunk in trunks.items():
        template = _BYOCI if name == "byoci" else _HELLO
        vcs = "bzr" if name.endswith("bzr") else "git"
        parts.append(template.format(name=name, vcs=vcs, trunk=quoted(str(trunk)), python=python, packages=PACKAGES))
    return "".join([*parts, _APART] if namespace == "selftest" else parts)


def write(folder: Path, text: str) -> bool:
    """Make the definition's repository with `byoci.toml`, unless it is there; whether it was made."""
    if folder.exists():
        return False
    with appearing(folder) as draft:
        (draft / "byoci.toml").write_text(text)
        environment = proc.base_environment() | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        name = ("-c", "user.name=byoci", "-c", "user.email=byoci@localhost")
        for arguments in (
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "byoci.toml"),
            (*name, "commit", "--quiet", "--message", "The site as byoci-install made it"),
        ):
            proc.run(("git", *arguments), env=environment, cwd=draft)
    return True


def write_secrets(folder: Path) -> bool:
    """Make the private twin of the definition: the key that landings are signed with, made here and never shown.

    Tells whether there was anything to make.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    key = folder / "landing_ed25519"
    return make_key(key, f"byoci landing key, {folder.parent.name}")
