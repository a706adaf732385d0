"""`byoci monitor run-job`: starts jobs, follows their logs, and ends as they did."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from byoci.cli import output
from byoci.cli.main import json_option
from byoci.cli.terminal import Harmless
from byoci.errors import NothingToDoError

if TYPE_CHECKING:
    from byoci.cli.main import Context


@click.command("run-job", short_help="Build jobs, and follow their logs.")
@click.argument("regex", help="Jobs whose whole name it matches.")
@click.option("-n", "--dry-run", "dry", is_flag=True, help="Show which jobs would be built; build none.")
@json_option
@click.pass_obj
def run_job(context: Context, regex: str, dry: bool) -> int:
    """Build the controller's jobs that REGEX matches, all at once, and show their logs one after the other.

    Parameters have the values that the jobs say. Exit code: 0 where all builds succeeded; 1 where one did not; 75 where
    one was not built to an end, as one that was taken out of the queue. Ctrl-C ends the showing; the builds go on.
    """
    from byoci.jenkins.client import job_path
    from byoci.jenkins.jobs import chosen
    from byoci.jenkins.running import GOOD, OURS, ask_for, follow

    jenkins = context.site.jenkins()
    names = chosen(jenkins.jobs(), regex)
    if not names:
        raise NothingToDoError(f"the controller has no job that {regex} matches")
    if dry:
        rows = [_row(name) for name in names]
        output.as_json(rows) if context.json else output.say("\n".join(names))
        return 0
    show = _Log(silent=context.json)
    rows = []
    for asked in [ask_for(jenkins, name) for name in names]:
        show.begin(asked.job)
        number, result = follow(jenkins, asked, show.feed, output.progress)
        show.end(f"{asked.job} #{number}: {result or 'is gone'}" if number else f"{asked.job}: was not built")
        url = f"{jenkins.url}{job_path(asked.job)}/{number}/" if number else None
        rows.append(_row(asked.job, number, url, result or None))
    if context.json:
        output.as_json(rows)
    results = [str(row["result"] or "") for row in rows]
    return 75 if set(results) & set(OURS) else 0 if set(results) == {GOOD} else 1


def _row(job: str, number: int | None = None, url: str | None = None, result: str | None = None) -> dict[str, object]:
    return {"job": job, "build": number, "url": url, "result": result}


class _Log:
    """Shows logs on standard output: as they are for programs, made harmless for a terminal.

    silent  whether only what became of them is told, on standard error
    """

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._stream = sys.stdout.buffer
        self._harmless: Harmless | None = None

    def begin(self, job: str) -> None:
        self._harmless = Harmless() if self._stream.isatty() else None
        if not self._silent:
            output.progress(f"{job}:")

    def feed(self, chunk: bytes, *, final: bool = False) -> None:
        if not self._silent:
            self._stream.write(self._harmless.feed(chunk, final=final).encode() if self._harmless else chunk)
            self._stream.flush()

    def end(self, words: str) -> None:
        self.feed(b"", final=True)
        output.progress(words)
