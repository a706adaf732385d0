"""`byoci replay`: what a certificate tells of, once more, on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import termios
import threading
import tty
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import Context, json_option
from byoci.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.gate.certificate import Certificate
    from byoci.gate.replay import Again, Tools
    from byoci.wiring import Site

_FROM_CERTIFICATE = "default: as the certificate has it"


@click.command(short_help="Repeat what a certificate tells of.")
@click.argument("certificate", metavar="CERTIFICATE", help="Its file, or the beginning of its candidate's id.")
@click.option("--shell", is_flag=True, help="Set up, and give me a shell in the worker in place of the tests.")
@click.option("--trunk", metavar="URL[;BRANCH]", help=f"Where trunk is; {_FROM_CERTIFICATE}.")
@click.option("--source", metavar="URL[;BRANCH]", help=f"Where the proposal's source is; {_FROM_CERTIFICATE}.")
@click.option("--image", metavar="FOLDER", help=f"A root file system, or `host`; {_FROM_CERTIFICATE}.")
@json_option
@click.pass_obj
def replay(
    context: Context, certificate: str, shell: bool, trunk: str | None, source: str | None, image: str | None
) -> int:
    """Make a candidate again, set up and test it as CERTIFICATE says, and say what could not be made the same.

    CERTIFICATE is a file, or the beginning of the id of a candidate that this site tested. Nothing is published. Works
    on any machine with byoci: where its folder is not this machine's, name the repositories.

    \b
      byoci replay ~/.byoci/testing/certificates/hello/failed/4f2a…
      byoci replay 4f2a --shell
    """
    from byoci.gate import replay as replays
    from byoci.model import Location

    site = context.site_if_any
    told, ours = _read(site, certificate)
    if not ours:
        output.progress("not signed by this site: believe it as far as whoever gave it to you")
        _check_harmless(told, trunk=trunk, source=source, image=image)
    places = (Location.parse(trunk or told.trunk), Location.parse(source or told.source))
    with _tools(site, told, places, image, _credentials(site, told) if ours else {}) as tools:
        made = replays.again(told, tools)
        same = made.candidate.id == told.candidate.id
        output.progress(f"candidate {made.candidate.id}{', the same as then' if same else ''}")
        for difference in made.differences:
            output.progress(f"not the same: {difference}")
        if shell:
            return _shell(told, made, tools)
        ran = replays.run(made, told, tools, _log)
    if context.json:
        output.as_json(
            {
                "candidate": made.candidate.id,
                "same_candidate": same,
                "differences": list(made.differences),
                "passed": ran.passed,
                "reason": ran.reason,
                "passed_then": told.verdict.passed,
                "reason_then": told.verdict.reason,
            }
        )
    else:
        output.say(f"now: {ran.reason}")
        output.say(f"then: {told.verdict.reason}")
    return 0 if ran.passed else 1


def _read(site: Site | None, name: str) -> tuple[Certificate, bool]:
    """A certificate, and whether this site signed it."""
    from byoci.gate import certificate as certificates

    path = Path(name).expanduser()
    if not path.is_file():
        found = site.certificates.named(name) if site is not None and "/" not in name else []
        if not found:
            raise NothingToDoError(
                f"there is no certificate {name}",
                details="It is no file, and no candidate of this site has an id that begins so.",
                resolution="A comment on the proposal, or `byoci why COMMIT`, names it.",
            )
        if len(found) > 1:
            raise UsageError(f"{name} is the beginning of several candidates' ids", resolution="Give more of it.")
        path = found[0]
    statement, signature = certificates.split(path.read_bytes())
    return certificates.decode(statement), site is not None and site.certificates.signed(statement, signature)


def _check_harmless(told: Certificate, **named: str | None) -> None:
    """Refuse what would let a stranger's commands see files of this machine that its user has not named himself.

    They run sealed, but they may have network. Credentials they do not get at all (`_tools`).
    """
    image = told.verdict.worker.get("image", "host")
    theirs = {"image": image} if image != "host" else {}
    if told.tests.network or told.tests.setup_network:
        theirs |= {name: url for name, url in (("trunk", told.trunk), ("source", told.source)) if _is_local(url)}
    if missing := [name for name in theirs if named[name] is None]:
        raise UsageError(
            "the certificate is not this site's, and names files of this machine",
            details="\n".join(f"{name}: {theirs[name]}" for name in missing),
            resolution=f"If its commands may see them, name them: {' '.join(f'--{name} …' for name in missing)}",
        )


def _is_local(place: str) -> bool:
    from byoci.model import Location
    from byoci.vcs import urls

    return urls.parse(Location.parse(place).url).local


@contextlib.contextmanager
def _tools(
    site: Site | None,
    told: Certificate,
    places: tuple[object, object],
    image: str | None,
    credentials: Mapping[str, bytes],
) -> Iterator[Tools]:
    """What it takes on this machine; a private repository that goes in the end, unless the project is this site's."""
    import tempfile

    from byoci.gate.replay import Tools
    from byoci.model import Location
    from byoci.wiring import loose_worker, vcs_of

    trunk, source = places
    assert isinstance(trunk, Location)
    assert isinstance(source, Location)
    project = site.config.projects.get(told.project) if site is not None else None
    with contextlib.ExitStack() as stack:
        if site is not None and project is not None and project.trunk == trunk:
            vcs = site.vcs(project)
        else:
            private = stack.enter_context(tempfile.TemporaryDirectory(prefix="byoci-replay-"))
            vcs = vcs_of(told.candidate.vcs, Path(private, "repository"), site.config if site else None, local=True)
        worker = loose_worker(site)
        stack.callback(worker.destroy)
        yield Tools(vcs, trunk, source, worker, image, credentials, output.progress)


def _credentials(site: Site | None, told: Certificate) -> Mapping[str, bytes]:
    if site is None or not told.tests.setup_credentials:
        return {}
    folder = site.config.state / "secrets" / "setup" / told.project
    return {name: (folder / name).read_bytes() for name in told.tests.setup_credentials if (folder / name).is_file()}


def _log(chunk: bytes) -> None:
    sys.stderr.buffer.write(chunk)
    sys.stderr.buffer.flush()


def _shell(told: Certificate, made: Again, tools: Tools) -> int:
    """A person's terminal and a shell in the worker: bytes go both ways, the terminal itself stays here."""
    from byoci.gate import replay as replays

    output.progress("The tests would be:")
    for command in told.tests.commands:
        output.progress(f"  {command}")
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with _raw(sys.stdin.fileno()):
        threading.Thread(target=_feed, args=(sys.stdin.fileno(), writing), daemon=True).start()
        try:
            return replays.shell(made, told, tools, _show, reading)
        finally:
            os.close(reading)


def _show(chunk: bytes) -> None:
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _feed(source: int, target: int) -> None:
    """Copy what is typed, until its end or the shell's."""
    with contextlib.suppress(OSError):
        if os.isatty(source):
            size = shutil.get_terminal_size()
            os.write(target, f" stty rows {size.lines} cols {size.columns}; clear\n".encode())
        while chunk := os.read(source, 4096):
            os.write(target, chunk)
    with contextlib.suppress(OSError):
        os.close(target)


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Every key goes to the worker's own terminal, which echoes it; afterwards ours is as it was."""
    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
