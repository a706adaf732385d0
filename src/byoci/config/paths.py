"""Where configuration is looked for and where state lives."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE_NAME: Final = "byoci.toml"
NAMESPACES: Final = ("testing", "production", "selftest")


def user_home(environ: Mapping[str, str]) -> Path:
    """The person's home folder: $HOME, or what the system's user database says."""
    home = environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError as error:
            raise ConfigError(
                "there is no home folder",
                details=f"$HOME is not set, and the system does not know user {os.getuid()}",
                resolution="Set HOME, or BYOCI_HOME and --config.",
            ) from error
    return Path(home) if home.startswith("/") else working_folder() / home


def byoci_home(environ: Mapping[str, str]) -> Path:
    """The folder of all state: $BYOCI_HOME, else `~/.byoci`."""
    chosen = environ.get("BYOCI_HOME", "")
    if not chosen:
        return user_home(environ) / ".byoci"
    return expand(chosen, environ)


def expand(text: str, environ: Mapping[str, str]) -> Path:
    """An absolute path from one that may start with `~` or be relative to the working folder."""
    if text == "~" or text.startswith("~/"):
        return user_home(environ) / text[2:]
    return Path(text) if text.startswith("/") else working_folder() / text


def working_folder() -> Path:
    """The working folder. Raises `ConfigError` where it was deleted."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigError("the working folder is gone", resolution="Go to another folder.") from error


def user_file(environ: Mapping[str, str]) -> Path:
    """The person's own configuration file, which `byoci init` writes: `~/.config/byoci/byoci.toml`."""
    chosen = environ.get("XDG_CONFIG_HOME", "")
    folder = Path(chosen) if chosen.startswith("/") else user_home(environ) / ".config"
    return folder / "byoci" / FILE_NAME


def definition_file(environ: Mapping[str, str], namespace: str) -> Path:
    """The file of the definition that `byoci-install` makes for a namespace."""
    return byoci_home(environ) / namespace / "definition" / FILE_NAME


def system_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """The system's configuration files, the most important first."""
    for folder in (environ.get("XDG_CONFIG_DIRS", "") or "/etc/xdg").split(":"):
        if folder.startswith("/"):  # the XDG base directory specification ignores relative ones
            yield Path(folder) / "byoci" / FILE_NAME
    yield Path("/etc/byoci") / FILE_NAME
