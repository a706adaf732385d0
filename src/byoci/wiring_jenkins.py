"""Configuration → the controller's remote API, whoever the controller is."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from byoci.errors import ConfigError, UnavailableError, of_system
from byoci.jenkins.client import Jenkins

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.config.loading import Config


def jenkins_of(config: Config) -> Jenkins:
    """The controller's remote API. Raises `UnavailableError` where byoci's own does not run."""
    settings = config.controller
    if config.has_own_controller:
        return _own(config)
    assert settings.url is not None  # the schema wants it
    if settings.user is None:
        return Jenkins(settings.url, remedy="Name an account there: controller.user.")
    file = config.jenkins_token_file
    remedy = f"The token of {settings.user} is in {file}; docs/jenkins.md tells what he must be allowed to do."
    return Jenkins(settings.url, settings.user, _token(file, settings.user), remedy)


def open_jenkins(config: Config) -> Jenkins:
    """A Jenkins as everybody sees it, who does not sign in."""
    url = config.controller.url
    assert url is not None  # the schema wants it of a Jenkins
    return Jenkins(url)


def _own(config: Config) -> Jenkins:
    from byoci.controller.client import ADMINISTRATOR, TOKEN_FILE
    from byoci.web.serving import ADDRESS_FILE

    folder = config.controller_folder
    try:
        url = (folder / ADDRESS_FILE).read_text(encoding="utf-8").strip()
        token = (folder / TOKEN_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise UnavailableError(
            "the controller does not run", details=f"{error.filename} is not there", resolution="Type: byoci up"
        ) from error
    return Jenkins(url, ADMINISTRATOR, token)


def jenkins_at(config: Config, url: str) -> Jenkins:
    """The remote API at an address that a job names: the site's own controller, or another one.

    To another one signs in whom the secret `agent/controller` (`USER:TOKEN`) names; without it, nobody.
    """
    with contextlib.suppress(UnavailableError):
        own = jenkins_of(config)
        if url in (own.url, config.controller.url):
            return own
    try:
        word = (config.state / "secrets" / "agent" / "controller").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        word = ""
    user, _, token = word.partition(":")
    return Jenkins(url, user, token)


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
