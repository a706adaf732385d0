"""The definition of a site to be tried on: its configuration, in a git repository, with a private folder beside it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from byoci import proc
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
landing.fullname = "byoci"
landing.email = "byoci@localhost"

[worker.default]
time = "10m"
memory = "1G"
disk = "2G"

[team.reviewers]
members = ["alice"]
"""

_HELLO: Final = """
[project.{name}]
vcs = "{vcs}"
trunk = {trunk}
tests.command = "./run-tests"
tests.results = ["results.xml"]
approve.trusted = ["reviewers"]
"""

# Tests of byoci itself: what they need is installed once, with network, into a layer; they run without.
_BYOCI: Final = """
[project.byoci]
vcs = "git"
trunk = {trunk}
setup.command = \"\"\"
python3 -m venv "$HOME/venv"
"$HOME/venv/bin/pip" install --quiet --require-hashes -r requirements/tests.txt
\"\"\"
setup.inputs = ["requirements/tests.txt"]
setup.network = true
tests.command = '"$HOME/venv/bin/python" -m pytest tests/unit -p no:cacheprovider --junitxml=results.xml'
tests.environment = {{ PYTHONPATH = "src", PYTHONDONTWRITEBYTECODE = "1" }}
tests.results = ["results.xml"]
approve.trusted = ["reviewers"]
"""


def render(namespace: str, trunks: Mapping[str, Location]) -> str:
    """The configuration of a site with these projects, as TOML."""
    parts = [_HEAD.format(namespace=namespace)]
    for name, trunk in trunks.items():
        template = _BYOCI if name == "byoci" else _HELLO
        vcs = "bzr" if name.endswith("bzr") else "git"
        parts.append(template.format(name=name, vcs=vcs, trunk=json.dumps(str(trunk))))
    return "".join(parts)


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
    """Make the private twin of the definition: the key that publishing over ssh uses, made here and never shown.

    Tells whether there was anything to make.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    key = folder / "landing_ed25519"
    return make_key(key, f"byoci landing key, {folder.parent.name}")
