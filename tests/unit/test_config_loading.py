"""From a file to values, and every way in which a file can be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config.loading import Config, check, load
from byoci.config.source import overlay, parse
from byoci.errors import ConfigError
from byoci.model import Location
from byoci.worker.base import Limits

SITE = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
"""
HELLO = (
    SITE
    + """
[project.hello]
vcs = "git"
trunk = "~/src/hello.git;main"
tests.command = "make check"
"""
)
ENVIRON = {"HOME": "/home/ann"}


def config(text: str, namespace: str = "testing", environ: dict[str, str] | None = None) -> Config:
    return check(parse(text.encode(), Path("/etc/site/byoci.toml")), namespace, environ or ENVIRON)


def refusal(text: str, namespace: str = "testing") -> list[str]:
    """The lines that tell what is wrong, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        config(text, namespace)
    assert caught.value.exit_code == 2
    return caught.value.details.replace("/etc/site/", "").splitlines()


def test_a_project_and_its_defaults() -> None:
    loaded = config(HELLO)
    hello = loaded.project("hello")
    assert (hello.name, hello.vcs, hello.forge, hello.worker) == ("hello", "git", "local", "default")
    assert hello.trunk == Location("/home/ann/src/hello.git", "main")
    assert hello.tests.command == ("make check",)
    assert not hello.tests.network
    assert (hello.approve.minimum, hello.approve.trusted, hello.approve.self) == (1, None, False)
    assert loaded.site.landing.attempts == 3
    assert loaded.state == Path("/home/ann/.byoci/testing")
    assert loaded.local_forge_path == Path("/home/ann/.byoci/testing/forge.sqlite")


def test_the_default_worker_has_the_limits_of_the_worker_protocol() -> None:
    worker = config(SITE).worker("default")
    limits = Limits(worker.memory, worker.processes, worker.time, worker.output, worker.disk)
    assert limits == Limits()
    assert config(SITE).image_of(worker) == "host"


def test_workers_images_teams_and_the_rest() -> None:
    loaded = config(
        SITE
        + """
[worker.big]
memory = "4G"
time = "2h"
image = "debian"
[image.debian]
path = "roots/debian"
[team.core]
members = ["ann", "bob"]
[forge.local]
administrators = ["root"]
path = "~/forge.sqlite"
[vcs]
sources.schemes = ["https"]
[vcs.rewrite]
"https://git.example.com/" = "/srv/mirror/"
"""
    )
    big = loaded.worker("big")
    assert (big.memory, big.time) == (4 * 1024**3, 7200.0)
    assert loaded.image_of(big) == "/etc/site/roots/debian"
    assert loaded.teams["core"].members == ("ann", "bob")
    assert loaded.local_forge.administrators == ("root",)
    assert loaded.local_forge_path == Path("/home/ann/forge.sqlite")
    assert loaded.vcs.sources.schemes == ("https",)
    assert loaded.vcs.rewrite == {"https://git.example.com/": "/srv/mirror/"}
    assert set(loaded.workers) == {"default", "big"}
