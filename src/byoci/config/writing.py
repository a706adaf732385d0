"""Writing configuration: a project's section as text, and adding it to a file without touching what stands there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from byoci.config.loading import DEFAULT_NAMESPACE, check, found_file
from byoci.config.paths import user_file
from byoci.config.source import contents, parse
from byoci.config.values import check_name
from byoci.durable import locked, replace
from byoci.errors import ConfigError, NothingToDoError, UnavailableError, UsageError
from byoci.log import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.config.detect import Detected
    from byoci.config.detect_tests import SetupProposal
    from byoci.config.loading import Config
    from byoci.model import Location

_HEAD: Final = """\
# byoci's configuration. `byoci config` shows every value and where it comes from; docs/configuration.md has all keys.

[site]
# Who commits landings. Change both before the first landing, not after: by them byoci knows its own commits.
landing.fullname = "Landing Bot"
landing.email = "landing-bot@localhost"
"""
_ESCAPES: Final = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def quoted(text: str) -> str:
    """`text` as a TOML string, in single quotes where these save escapes."""
    if not set('"\\').isdisjoint(text) and "'" not in text and not any(map(_control, text)):
        return f"'{text}'"
    plain = (_ESCAPES.get(letter, letter) for letter in text)
    return '"' + "".join(f"\\u{ord(one):04x}" if len(one) == 1 and _control(one) else one for one in plain) + '"'


def _control(letter: str) -> bool:
    return ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0


def render_project(detected: Detected, *, name: str | None = None, test: str | None = None, minimum: int = 0) -> str:
    """The section of a project as TOML text, with comments that tell what to change when the team grows.

    name, test  what the person chose; else what was detected
    minimum     `approve.minimum`

    Raises `UsageError` where no test command was chosen and none detected.
    """
    try:
        name = check_name(name or detected.name)
    except ValueError as error:
        raise UsageError(f'"{printable(name or detected.name)[:100]}" {error}') from error
    lines = [
        f"[project.{name if name.replace('-', '').replace('_', '').isalnum() and name.isascii() else quoted(name)}]",
        f"vcs = {quoted(detected.vcs)}",
        f"trunk = {quoted(str(detected.trunk))}",
        *_render_tests(detected, test),
        *_render_approval(minimum),
    ]
    return "\n".join(lines) + "\n"


def _render_tests(detected: Detected, test: str | None) -> Iterator[str]:
    proposed = detected.tests
    if test is None and proposed is None:
        raise UsageError(
            "how is this project tested? Nothing here tells",
            details="There is no pytest, no test script, nothing of make, npm, cargo, go, autoconf, meson or cmake.",
            resolution="Name the command: byoci init --test 'COMMAND'.",
        )
    if test is not None and (not test.strip() or "\0" in test):
        raise UsageError("the test command is empty", resolution="Name it: byoci init --test 'COMMAND'.")
    yield "# Tests run in a sealed worker: this system's programs, but no network, no home folder and no credentials."
    if test is not None:
        yield f"tests.command = {quoted(test)}"
        return
    assert proposed is not None
    yield f"tests.command = {quoted(proposed.command)}  # as {proposed.why} tells"
    if proposed.environment:
        pairs = ", ".join(f"{key} = {quoted(value)}" for key, value in proposed.environment.items())
        yield f"tests.environment = {{ {pairs} }}"
    if proposed.setup is not None:
        yield from _render_setup(proposed.setup)


def _render_setup(setup: SetupProposal) -> Iterator[str]:
    yield "# What tests need is installed once, with network, and again when one of the inputs changes."
    if len(setup.command) == 1:
        yield f"setup.command = {quoted(setup.command[0])}"
    else:
        yield "setup.command = ["
        yield from (f"    {quoted(command)}," for command in setup.command)
        yield "]"
    yield f"setup.inputs = [{', '.join(quoted(name) for name in setup.inputs)}]"
    yield "setup.network = true"


def _render_approval(minimum: int) -> Iterator[str]:
    if minimum == 0:
        yield "# A person alone: what she sets to Approved lands. A team sets 1 or more, and whose votes count:"
    else:
        yield "# Whose votes count, unless only the forge's administrators' do; an author's own approval does not:"
    yield '# approve.trusted = ["ann", "reviewers"], with the team reviewers under [team.reviewers].'
    yield f"approve.minimum = {minimum}"


def target_file(path: Path | None, environ: Mapping[str, str], namespace: str = DEFAULT_NAMESPACE) -> Path:
    """The file that `byoci init` adds to: the one that was named or is in use, else the person's own.

    path  what `--config` named; the file may not exist yet
    """
    return found_file(path, environ, namespace) or user_file(environ)


def add_project(path: Path, text: str, *, namespace: str, environ: Mapping[str, str]) -> Config:
    """Append a project's section to the file at `path`, or make the file; returns the configuration as it is then.

    All or nothing, also when killed: the whole result is checked first, written beside the file and put in its place.
    What stands in the file stays byte for byte, with its owner and mode. Of several at once each waits for the other.

    Raises `NothingToDoError` where the trunk is gated already, `UsageError` where the project's name is taken,
    `ConfigError` where the file is wrong before or would be afterwards, `UnavailableError` where it cannot be written.
    """
    try:
        real = Path(os.path.realpath(path))
        real.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(real.parent):
            before = contents(real) if os.path.lexists(real) else b""
            after = _appended(before, text, real)
            _refuse_known(before, text, real, namespace, environ)
            config = _checked(after, real, namespace, environ)
            replace(real, after)
    except OSError as error:
        raise UnavailableError(
            f"the configuration cannot be written: {error.strerror}",
            details=printable(str(path)),
            resolution="Name another file with --config, or correct the folder's owner and mode.",
        ) from error
    return config


def refuse_gated(path: Path, trunk: Location, *, namespace: str, environ: Mapping[str, str]) -> None:
    """Raise `NothingToDoError` where the file at `path` has the trunk already."""
    before = contents(path) if os.path.lexists(path) else b""
    if not before.strip() or not parse(before, path).lines:
        return
    known = check(parse(before, path), namespace, environ)
    if gated := known.project_of_trunk(str(trunk)):
        raise _gated(gated.name, known)


def _appended(before: bytes, text: str, path: Path) -> bytes:
    if not parse(before, path).lines:
        return before + (b"\n" if before else b"") + f"{_HEAD}\n{text}".encode()
    return before + (b"\n" if before.endswith(b"\n") else b"\n\n") + text.encode()


def _refuse_known(before: bytes, added: str, path: Path, namespace: str, environ: Mapping[str, str]) -> None:
    """Refuse what the file has already, in words that fit `byoci init`."""
    if not before.strip() or not parse(before, path).lines:
        return
    known = check(parse(before, path), namespace, environ)
    for name, project in parse(added.encode(), path).base.get("project", {}).items():
        if gated := known.project_of_trunk(project["trunk"]):
            raise _gated(gated.name, known)
        if name in known.projects:
            raise UsageError(
                f'there is a project "{name}" already, with another trunk',
                details=f"{path}: {known.projects[name].trunk}",
                resolution="Choose another name: byoci init --name NAME.",
            )


def _checked(after: bytes, path: Path, namespace: str, environ: Mapping[str, str]) -> Config:
    try:
        return check(parse(after, path), namespace, environ)
    except ConfigError as error:
        raise ConfigError(
            "the project cannot be added: the configuration would be wrong",
            details=error.details,
            resolution="Nothing was written. Correct the file, or choose other values.",
        ) from error


def _gated(name: str, config: Config) -> NothingToDoError:
    written, line = config.source.written(("project", name), config.namespace)
    return NothingToDoError(
        f'the trunk is gated already, as project "{name}"',
        details=f"{config.path}:{line}" if written else str(config.path),
        resolution="To change how, edit the file.",
    )
