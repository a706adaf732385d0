"""The Jenkins of a configuration, as its account there sees it, and as everybody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from byoci.errors import ConfigError, of_system
from byoci.jenkins.client import Jenkins

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.loading import Config


def signed_in(config: Config) -> Jenkins:
    """Signed in as `controller.user`, where one is named. Raises `ConfigError` where the token is missing."""
    user = config.controller.user
    if user is None:
        return Jenkins(_url(config), remedy="Name an account there: controller.user.")
    file = config.jenkins_token_file
    remedy = f"The token of {user} is in {file}; docs/jenkins.md tells what he must be allowed to do."
    return Jenkins(_url(config), user, _token(file, user), remedy)


def as_anybody(config: Config) -> Jenkins:
    """Without signing in."""
    return Jenkins(_url(config))


def named(url: str, file: Path) -> Jenkins:
    """One at an address, signed in as whom a file of secrets names, as `USER:TOKEN`; without that file, as nobody."""
    try:
        word = file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        word = ""
    user, _, token = word.partition(":")
    return Jenkins(url, user, token)


def _url(config: Config) -> str:
    assert config.controller.url is not None  # the schema wants it of a Jenkins
    return config.controller.url


def _token(file: Path, user: str) -> str:
    """The word in a file of secrets. Raises `ConfigError` where it holds none."""
    remedy = f"Make an API token of {user} in the Jenkins, and put it into that file, for byoci's own user only."
    try:
        token = file.read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError as error:
        raise ConfigError(f"the token of {user} is missing", details=str(file), resolution=remedy) from error
    except OSError as error:
        raise of_system(error) from error
    if not token.isascii() or len(token.split()) != 1:
        raise ConfigError(f"{file} holds no token", resolution=remedy)
    return token
