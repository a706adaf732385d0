"""`byoci agent`: what jobs run on an agent, and the steps of a landing by hand."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, LazyGroup, json_option
from byoci.cli.terminal import Harmless
from byoci.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from byoci.worker.base import ExitStatus

_ELSEWHERE = {
    "merge": "byoci.cli.byhand:merge",
    "commit": "byoci.cli.byhand:commit",
    "push": "byoci.cli.byhand:push",
    "start-slave-via-ssh": "byoci.cli.nodes:start_agent",
    "detect-changes": "byoci.cli.changes:detect_changes",
}
_CREDENTIALS_PREFIX = "with-credentials "

_output_option = click.option(
    "--output", "form", type=click.Choice(["text", "subunit"]), default="text", help="How to tell what ran."
)
_folder = click.Path(path_type=Path, file_okay=False)


@click.group(cls=LazyGroup, lazy=_ELSEWHERE)
def agent() -> None:
    """What jobs run on an agent: merge, test sealed off, publish.

    TRUNK is a project's trunk; CONTAINER is the kind of worker, by its name in the configuration.
    """


_vcs_option = click.option(
    "--vcs", type=click.Choice(["git", "bzr"]), help="What system it is in, where it is no project's trunk."
)


@agent.command(short_help="List the proposals that may land.")
@click.argument("trunk", metavar="TRUNK", help="URL[;BRANCH] of the trunk.")
@_vcs_option
@json_option
@click.pass_obj
def approved(context: Context, trunk: str, vcs: str | None) -> int:
    """List the proposals into TRUNK that may land, a line each; TRUNK may be one that no project names."""
    from byoci.gate.rounds import landable

    site = context.site
    project = site.config.project_of_trunk(trunk)
    gate = site.gate(project.name, output.doing) if project else site.loose_gate(_kind(trunk, vcs), trunk, output.doing)
    found = landable(gate)
    if context.json:
        output.as_json([{"proposal": item.id, "source": str(item.source), "title": item.title} for item in found])
    for item in () if context.json else found:
        output.say(f"{item.id} {item.source} {item.title}")
    return 0 if found else NothingToDoError.exit_code


@agent.command(short_help="Land the first proposal that may.")
@click.argument("trunk", metavar="TRUNK", help="URL[;BRANCH] of the trunk.")
@click.argument("workdir", type=_folder, help="The folder to test it in.")
@click.argument("container", shell_complete=complete.workers, help="The kind of worker, as in [worker.NAME].")
@click.option("--proposal", "only", metavar="ID", shell_complete=complete.proposals, help="This one, not the first.")
@json_option
@click.pass_obj
def land(context: Context, trunk: str, workdir: Path, container: str, only: str | None) -> int:
    """Land the first proposal into TRUNK that may, testing it in WORKDIR in a worker of the kind CONTAINER.

    WORKDIR is emptied first; afterwards it holds the tested tree with what the tests left, for the job to collect.
    What setup and tests print is on standard error, as they print it.
    """
    from byoci.cli import workdirs
    from byoci.cli.land import show
    from byoci.gate.rounds import exit_code, land_first

    site = context.site
    project = site.project_of_trunk(trunk)
    workdirs.claim(site, workdir)
    show_output = _Text(sys.stderr.buffer).show
    gate = site.gate(project.name, output.doing, worker=container, workdir=workdir.absolute(), printed=show_output)
    rows = land_first(gate, site.leases, only)
    if rows or context.json:
        show(context, rows)
    else:
        output.say(f"Nothing may land; `byoci queue {project.name}` tells why.")
    return exit_code(rows)


@agent.command("setup-tree", short_help="Make a folder a clean tree of a branch.")
@click.argument("url", metavar="URL[;BRANCH]", help="The branch.")
@click.argument("folder", type=_folder, help="The folder to make; what byoci put there before is removed.")
@_vcs_option
@click.pass_obj
def setup_tree(context: Context, url: str, folder: Path, vcs: str | None) -> int:
    """Make FOLDER a clean tree of a branch's newest revision: its files, and nothing of a repository."""
    from byoci.cli import workdirs
    from byoci.model import Location

    site = context.site
    project = site.config.project_of_trunk(url)
    location = project.trunk if project else Location.parse(url)
    tool = site.vcs(project) if project else site.loose_vcs(_kind(url, vcs))
    revision = tool.fetch(location, trusted=True)
    workdirs.claim(site, folder)
    tool.export(revision, folder)
    workdirs.remember(site, folder, project=project.name if project else None, revision=revision)
    output.say(f"{folder}: {location} at {revision}")
    return 0


@agent.command("run-in-worker", short_help="Run shell commands in a sealed worker.")
@_output_option
@click.argument("container", shell_complete=complete.workers, help="The kind of worker, as in [worker.NAME].")
@click.argument("commands", metavar="CMD...", nargs=-1, required=True, help="Shell commands, each one word.")
@click.pass_obj
def run_in_worker(context: Context, form: str, container: str, commands: tuple[str, ...]) -> int:
    """Run shell commands, in turn, in a sealed worker that sees the current folder and nothing else of this machine.

    Stops at the first command that fails. Quote each command: byoci agent run-in-worker default 'make' 'make check'.
    """
    from byoci.cli import workdirs
    from byoci.wiring import limits_of

    for command in commands:
        if command.startswith(_CREDENTIALS_PREFIX):
            raise UsageError(
                "a worker has no credentials to run a command with",
                details=f"refused: {command}",
                resolution="Let `setup.credentials` give them to the project's setup, which sees trunk's files only.",
            )
    site = context.site
    kind = site.config.worker(container)
    workdirs.check_given(site, Path.cwd())
    worker = site.worker(container)
    show = _shower(form, f"{container}.run-in-worker")
    status = None
    try:
        worker.prepare(site.config.image_of(kind), None, show.feed)
        for command in commands:
            status = worker.run(command, Path.cwd(), limits_of(kind), show.feed)
            if not status.ok:
                break
    finally:
        worker.destroy()
    assert status is not None
    show.end(status, "" if status.ok else _words(command, status))
    return 0 if status.ok else 1


@agent.command("run-tests", short_help="Run a project's setup and tests.")
@_output_option
@click.argument(
    "workdir", type=click.Path(path_type=Path, file_okay=False, exists=True), help="The folder with the tree."
)
@click.argument("container", shell_complete=complete.workers, help="The kind of worker, as in [worker.NAME].")
@click.option("--project", shell_complete=complete.projects, help="Default: the one that WORKDIR was made for.")
@click.option("--subunit", type=click.File("wb"), metavar="FILE", help="Also keep what ran in FILE, as subunit.")
@click.pass_obj
def run_tests(
    context: Context, form: str, workdir: Path, container: str, project: str | None, subunit: BinaryIO | None
) -> int:
    """Run the project's setup and tests on the tree in WORKDIR, in a worker of the kind CONTAINER."""
    from byoci.cli import workdirs
    from byoci.gate import testing
    from byoci.gate.byhand import refresh, remember_passed

    site = context.site
    made = workdirs.recall(site, workdir)
    name = project or (made.project if made else None)
    if name is None:
        raise UsageError(
            f"which project's tests? {workdir} was not made by `byoci agent setup-tree` or `merge`",
            resolution="Name the project with --project.",
        )
    gate = site.gate(name, output.progress, worker=container)
    by_hand = refresh(gate, site.config.state, workdir) if made and made.by_hand else None
    workdirs.check_given(site, workdir)
    plan = gate.project.tests
    show: _Text | _Subunit | _Both = _shower(form, f"{name}.tests")
    if subunit is not None:
        show = _Both(show, _Subunit(subunit, f"{name}.tests"))
    worker, begun = gate.new_worker(), testing.Begun()
    try:
        setup = testing.setup_of(plan, lambda paths: workdirs.setup_inputs(gate, workdir, paths))
        ran = testing.run_tests(worker, workdir.absolute, plan, setup, show.feed)
    finally:
        worker.destroy()
    show.end(ran.status, ran.reason)
    if by_hand is not None and ran.passed:
        remember_passed(gate, site.config.state, by_hand, ran.verdict(begun, worker))
    return 0 if ran.passed else 1


@agent.command(short_help="Empty a workspace.")
@click.argument("workspace", type=_folder, help="A folder that byoci made, or an empty one.")
@click.pass_obj
def wipe(context: Context, workspace: Path) -> int:
    """Empty WORKSPACE, whatever untrusted code has left in it; links in it are removed, never followed."""
    from byoci.cli import workdirs

    workdirs.claim(context.site, workspace)
    output.say(f"{workspace} is empty")
    return 0


def _kind(url: str, vcs: str | None) -> str:
    if vcs is None:
        raise UsageError(f"{url} is no project's trunk", resolution="Say what system it is in: --vcs git or --vcs bzr.")
    return vcs


class _Text:
    """Hands output on to a stream: as it is for programs, made harmless for a terminal."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._harmless = Harmless() if stream.isatty() else None

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        self._stream.write(self._harmless.feed(chunk, final=final).encode() if self._harmless else chunk)
        self._stream.flush()

    def show(self, chunk: bytes) -> None:
        """The same, where a landing must not end because nobody reads it."""
        with contextlib.suppress(OSError):
            self.feed(chunk)

    def end(self, _status: ExitStatus | None, reason: str) -> None:
        self.feed(b"", final=True)
        if reason:
            output.progress(reason)


class _Subunit:
    """Turns output into one subunit v2 stream on standard output."""

    def __init__(self, stream: BinaryIO, test_id: str) -> None:
        from byoci.worker.results_subunit import SubunitWriter

        self._writer = SubunitWriter(stream, test_id)
        self.feed: Callable[[bytes], None] = self._writer

    def end(self, status: ExitStatus | None, reason: str) -> None:
        if status is None:
            self._writer.fail(reason)
        else:
            self._writer.finish(status)


class _Both:
    """Hands output on to two of them."""

    def __init__(self, *parts: _Text | _Subunit | _Both) -> None:
        self._parts = parts

    def feed(self, chunk: bytes) -> None:
        for part in self._parts:
            part.feed(chunk)

    def end(self, status: ExitStatus | None, reason: str) -> None:
        for part in self._parts:
            part.end(status, reason)


def _shower(form: str, test_id: str) -> _Text | _Subunit:
    stream = sys.stdout.buffer
    return _Subunit(stream, test_id) if form == "subunit" else _Text(stream)


def _words(command: str, status: ExitStatus) -> str:
    from byoci.gate.testing import reason_of

    return reason_of(command, status, None)
