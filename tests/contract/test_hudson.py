"""The same sessions of Jenkins' three clients with the controller, with Hudson 1.395 and with Hudson 3.3.2.

What Hudson answers, the controller answers in the same shape; where Hudson is another, it stands in `hudson_age`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from benchmarks import hudson
from controller_process import running
from hudson_age import FIELDS, REFUSED, REFUSED_BY_LAST, REFUSED_BY_US, VALUES
from hudson_sessions import JOB, SESSIONS, Told, session
from jenkins_clients import environment_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.controller, pytest.mark.slow]

SAME = (
    "name", "displayName", "fullDisplayName", "color", "buildable", "nextBuildNumber", "description", "inQueue",
    "healthReport", "score", "number", "result", "building", "keepLog", "artifacts", "relativePath", "culprits",
)  # fmt: skip
LINES = ("+ echo hello me", "hello me", "Finished: FAILURE")
WORDS = {"grey": "notbuilt", "grey_anime": "notbuilt_anime"}  # Hudson's and Jenkins' for what was never built


@dataclass
class Server:
    """One to talk to, and what it told in each session."""

    url: str
    folder: Path
    user: str = ""
    token: str = ""
    told: dict[str, Told] = field(default_factory=dict)

    def session(self, client: str) -> Told:
        if client not in self.told:
            self.told[client] = session(client, self.url, self.user, self.token, self.folder / client)
        return self.told[client]


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment_folder()
    folder = tmp_path_factory.mktemp("controller")
    with running(folder / "home") as process:
        yield Server(process.url, folder, "admin", process.token)


@pytest.fixture(scope="module", params=[hudson.OLD, hudson.LAST], ids=lambda release: release.version)
def release(request: pytest.FixtureRequest) -> hudson.Release:
    wanted: hudson.Release = request.param
    if why := hudson.fetch(wanted):
        pytest.skip(f"missing: {why}")
    return wanted


@pytest.fixture(scope="module")
def ancestor(release: hudson.Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment_folder()
    folder = tmp_path_factory.mktemp("hudson")
    with hudson.running(release, folder / "home", hudson.SPARING, hudson.CRUMBS) as url:
        yield Server(url, folder)


def differences(theirs: Any, ours: Any, path: str = "") -> list[str]:
    """Where something that Hudson tells is missing, or of another type; what one of both does not know is no type."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = [f"{path}.{key} is missing" for key in theirs if key not in ours and key not in FIELDS]
        for key in theirs.keys() & ours.keys() - FIELDS.keys():
            found += differences(theirs[key], ours[key], f"{path}.{key}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list):
        if theirs and not ours:
            return [f"{path} is empty, not {theirs!r}"]
        return [
            text for one, two in zip(theirs[:1], ours[:1], strict=False) for text in differences(one, two, f"{path}[]")
        ]
    same = type(theirs) is type(ours) or theirs is None or ours is None
    return [] if same else [f"{path} is {ours!r}, not {theirs!r}"]


def value_differences(step: str, theirs: Any, ours: Any) -> list[str]:
    """What has to be the very same: what is no object, and of a job's and a build's facts those that are no address."""
    if isinstance(theirs, dict):
        told = [key for key in SAME if key in theirs and (step, key) not in VALUES]
        return [text for key in told for text in value_differences(f"{step}.{key}", theirs[key], ours.get(key))]
    if isinstance(theirs, list):
        if len(theirs) != len(ours):
            return [f"{step} is {ours!r}, not {theirs!r}"]
        return [text for one, two in zip(theirs, ours, strict=True) for text in value_differences(step, one, two)]
    told = WORDS.get(theirs, theirs) if isinstance(theirs, str) else theirs
    return [] if told == ours else [f"{step} is {ours!r}, not {told!r}"]


@pytest.mark.parametrize("client", SESSIONS)
def test_a_session_is_answered_as_by_hudson(
    client: str, release: hudson.Release, ancestor: Server, controller: Server
) -> None:
    theirs, ours = ancestor.session(client), controller.session(client)
    of_its_age = set(REFUSED[client])
    if release is hudson.LAST:
        of_its_age |= {step for name, step in REFUSED_BY_LAST if name == client}
    assert {step: told for step, told in theirs.items() if ("refused" in told) != (step in of_its_age)} == {}
    not_ours = {step for name, step in REFUSED_BY_US if name == client}
    assert {step: told for step, told in ours.items() if ("refused" in told) != (step in not_ours)} == {}
    found = []
    for step in ours.keys() - of_its_age - not_ours - {"console"}:
        told = theirs[step]["told"], ours[step]["told"]
        found += differences(*told, step) + value_differences(step, *told)
    assert not found, "\n".join(sorted(found))
    for told in (theirs, ours) if "console" in ours and client == "python-jenkins" else ():
        assert set(LINES) <= set(told["console"]["told"].splitlines())


MATRIX = """<matrix-project><actions/><description/><keepDependencies>false</keepDependencies><properties/>
<scm class="hudson.scm.NullSCM"/><canRoam>true</canRoam><disabled>false</disabled><triggers class="vector"/>
<concurrentBuild>false</concurrentBuild><axes/><builders/><publishers/><buildWrappers/></matrix-project>"""


def post(server: Server, path: str, body: str = "") -> None:
    with urllib.request.urlopen(f"{server.url}crumbIssuer/api/json") as reply:
        crumb = json.load(reply)
    headers = {"Content-Type": "text/xml", crumb["crumbRequestField"]: crumb["crumb"]}
    with urllib.request.urlopen(urllib.request.Request(server.url + path, body.encode(), headers)) as reply:
        reply.read()


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_the_jobs_of_a_live_hudson_are_checked_and_only_read(
    release: hudson.Release, ancestor: Server, tmp_path: Path
) -> None:
    for name, config in (("as-made", JOB), ("many", MATRIX), ("rewritten", JOB)):
        post(ancestor, f"createItem?name={name}", config)
    for verb in ("disable", "enable"):  # it writes the job anew, in its own words
        post(ancestor, f"job/rewritten/{verb}")
    before = files(ancestor.folder / "home/jobs")
    program = Path(sys.executable).with_name("byoci")
    run = subprocess.run(
        [program, "job", "check", ancestor.url, "--json"],
        env={**os.environ, "BYOCI_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    reasons = {row["name"]: "\n".join(row["reasons"]) for row in json.loads(run.stdout)}
    assert reasons.pop("as-made") == ""
    assert "matrix-project" in reasons.pop("many")
    if release is hudson.LAST:  # whose own form Jenkins cannot read either
        assert "project-properties" in reasons.pop("rewritten")
    assert set(reasons.values()) <= {""}
    assert files(ancestor.folder / "home/jobs") == before
    for name in ("as-made", "many", "rewritten"):
        post(ancestor, f"job/{name}/doDelete")
