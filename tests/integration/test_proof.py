"""`byoci audit`, `why` and `replay`, as a person types them."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from both import VCS
from site_under_test import Story

from byoci.gate import certificate as certificates
from byoci.model import Location, Outcome
from byoci.store.certificates import CertificateStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from byoci.model import Proposal

pytestmark = [pytest.mark.agent, pytest.mark.slow]

PROGRAM = (sys.executable, "-c", "from byoci.cli.main import main; main()")


class Site:
    """A story, with a person who types commands."""

    def __init__(self, folder: Path, vcs: str, more: str = "") -> None:
        self.folder = folder
        self.story = Story(folder, vcs, tests="echo tested; test ! -e broken", more=more)
        self.state = self.story.site.config.state
        self.desk = folder / "desk"  # not where the configuration lies
        self.desk.mkdir()
        self.environment = {
            "HOME": str(folder), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
            "BYOCI_HOME": str(folder / "byoci"), "BYOCI_CONFIG": str(self.story.config),
        }  # fmt: skip

    def byoci(self, *words: str, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [*PROGRAM, *words],
            cwd=self.desk,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done.stdout if code in (0, 1) else done.stderr

    def replayed(self, certificate: str) -> str:
        """All that is shown of a replay."""
        done = subprocess.run(
            [*PROGRAM, "replay", certificate],
            cwd=self.desk,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def land(self, branch: str, **files: str) -> tuple[Proposal, str]:
        proposal = self.story.propose(branch, files)
        row = self.story.land(proposal.id)[0].landing
        assert row.outcome is Outcome.LANDED, row
        assert row.revision is not None
        return proposal, row.revision


@pytest.fixture(params=VCS)
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    return Site(tmp_path, request.param)


def test_an_audit_tells_a_person_and_a_program(site: Site) -> None:
    assert "nothing has landed" in site.byoci("audit", "hello", code=3)
    site.land("one", one="1\n")
    site.land("two", two="2\n")
    assert "2 of 2 revisions" in site.byoci("audit", "hello")
    assert "2 of 2 revisions" in site.byoci("audit")
    site.story.repository.commit(None, {"past": "the gate\n"}, "a person pushes", "eve")
    pushed = site.story.trunk_tip()
    told = json.loads(site.byoci("audit", str(site.story.repository.trunk), "--json", code=1))
    assert (told["ok"], told["judged"], told["covered"], told["before"]) == (False, 3, 2, 1)
    assert (told["findings"][0]["revision"], told["findings"][0]["kind"]) == (pushed, "uncovered")
    assert pushed in site.byoci("audit", "hello", code=1)


def test_anybody_can_audit_with_trunk_certificates_and_the_public_key(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    given = site.folder / "given"
    shutil.copytree(site.state / "certificates", given / "certificates")
    shutil.copy(site.state / "secrets/landing_ed25519.pub", given / "landing.pub")
    elsewhere = {"BYOCI_HOME": str(site.folder / "other"), "BYOCI_CONFIG": "", "HOME": str(site.folder / "nobody")}
    trunk = str(site.story.repository.trunk)
    what = ("--certificates", str(given / "certificates"), "--key", str(given / "landing.pub"))
    told = json.loads(site.byoci("audit", trunk, "--vcs", site.story.vcs, *what, "--json", **elsewhere))
    assert (told["ok"], [item["revision"] for item in told["findings"]]) == (True, [landed])
    assert "--vcs" in site.byoci("audit", trunk, *what, code=2, **elsewhere)
    assert "no public key" in site.byoci("audit", trunk, "--key", str(site.story.config), code=2)
    assert "is no folder" in site.byoci("audit", "hello", "--certificates", str(given / "nothing"), code=2)
    assert "no revision" in site.byoci("audit", "hello", "--since", "nonsense", code=2)


def test_what_landed_on_another_trunk_does_not_count_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its certificate is genuine, and tells of another trunk's policy. A release branch begins with main's landings."""
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    site = Site(tmp_path, "git")
    story = site.story

    def landed(branch: str, topic: str) -> str:
        before, story.repository.trunk = story.repository.trunk, Location(story.repository.trunk.url, branch)
        story.config.write_text(story.config.read_text().replace(str(before), str(story.repository.trunk)))
        story.reopen()
        return site.land(topic, **{topic: "1\n"})[1]

    landed("main", "one")
    story.repository.branch("stable")
    landed("stable", "two")
    story.repository.overwrite("stable")
    smuggled = landed("main", "three")
    story.repository.overwrite("main", "stable")
    landed("stable", "four")
    assert "2 of 3 revisions" in (said := site.byoci("audit", "hello", code=1))
    assert f"{smuggled}  wrong" in said
    assert "another trunk" in said
    assert "4 of 4 revisions" in site.byoci("audit", "hello", "--called", f"{story.repository.trunk.url};main")


def test_why_tells_of_a_landing_and_of_what_it_brought_in(site: Site) -> None:
    base = site.story.trunk_tip()
    proposal, landed = site.land("one", one="1\n")
    here = (
        ("HEAD", "main", "HEAD~0", landed[:9], proposal.approved_revision or "") if site.story.vcs == "git" else ("2",)
    )
    shutil.rmtree(site.desk)
    site.desk.symlink_to(site.story.repository.trunk.url)
    for commit in (landed, landed[:-3], landed[-11:], f"…{landed[-11:]}", proposal.approved_revision or "", *here):
        told = site.byoci("why", commit)
        assert landed in told
        assert f"proposal {proposal.id} of hello: Do one" in told
        assert "asked for by bob" in told
        assert "approved by alice" in told
        assert "alice: Approve" in told
        assert "$ echo tested" in told
        assert f"log {site.state}" in told
    statement = json.loads(site.byoci("why", landed, "--json"))
    assert statement["predicate"]["buildDefinition"]["externalParameters"]["proposal"]["id"] == proposal.id
    for wrong in ("0000", "nowhere", "", "-x", "3", "HEAD~1"):
        assert "no certificate tells of" in (said := site.byoci("why", "--", wrong, code=3))
        assert wrong != "HEAD~1" or site.story.vcs == "bzr" or f"HEAD~1 ({base})" in said
    assert "`byoci explain 1`" in site.byoci("why", proposal.id, code=3)


def test_a_signature_can_be_checked_without_byoci(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    raw = (site.state / "certificates/hello" / landed).read_bytes()
    statement, signature = raw.split(b"\n", 1)
    (site.folder / "signature").write_bytes(signature)
    key = (site.state / "secrets/landing_ed25519.pub").read_text()
    (site.folder / "allowed").write_text(f"byoci {key}")
    verify = ["ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "byoci", "-n", "byoci", "-s", "signature"]
    assert subprocess.run(verify, cwd=site.folder, input=statement, check=False).returncode == 0
    assert subprocess.run(verify, cwd=site.folder, input=statement + b" ", check=False).returncode != 0


def test_a_landing_is_repeated(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    site.land("two", two="2\n")
    told = json.loads(site.byoci("replay", landed, "--json"))
    assert told["candidate"] == landed
    assert (told["same_candidate"], told["differences"], told["passed"]) == (True, [], True)
    assert told["reason"] == told["reason_then"]


def test_the_comment_on_a_failure_carries_the_line_that_repeats_it(site: Site) -> None:
    proposal = site.story.propose("bad", {"broken": "1\n"})
    assert site.story.land()[0].landing.outcome is Outcome.TESTS_FAILED
    (comment,) = site.story.forge.comments(proposal.id)
    line = next(line for line in comment.text.splitlines() if line.startswith("To repeat it: byoci "))
    words = line.removeprefix("To repeat it: byoci ").split()
    assert "ended with exit code 1" in site.byoci(*words, code=1)
    record = certificates.decode(certificates.split(Path(words[1]).read_bytes())[0])
    assert not record.verdict.passed
    assert record.verdict.log_digest


def test_a_machine_without_a_site_repeats_it_from_the_repositories(site: Site) -> None:
    proposal, landed = site.land("one", one="1\n")
    site.story.repository.drop("one")  # the source is gone; trunk has what it brought
    copy = site.folder / "copy"
    shutil.copy(site.state / "certificates/hello" / landed, copy)
    elsewhere = {"BYOCI_HOME": str(site.folder / "other"), "BYOCI_CONFIG": "", "HOME": str(site.folder / "nobody")}
    told = json.loads(site.byoci("replay", str(copy), "--json", **elsewhere))
    assert (told["same_candidate"], told["passed"]) == (True, True)
    missing = site.byoci("replay", str(copy), "--trunk", str(site.folder / "gone"), code=75, **elsewhere)
    assert "gone" in missing
    assert "no certificate" in site.byoci("replay", str(site.story.config), code=2)
    assert "there is no certificate" in site.byoci("replay", "zzz", code=3)
    assert proposal.id


def forged(site: Site, landed: str, **tests: object) -> Path:
    """A certificate of a landing that says something else of its tests, signed by a key of somebody else's."""
    told = certificates.decode(certificates.split((site.state / "certificates/hello" / landed).read_bytes())[0])
    worker = {"backend": "bubblewrap", "image": str(tests.pop("image", "host"))}
    told = replace(told, tests=replace(told.tests, **tests), verdict=replace(told.verdict, worker=worker))
    theirs = CertificateStore(site.folder / "theirs", site.folder / "their-key")
    return theirs.keep("hello", landed, certificates.encode(told), passed=True)


def test_a_strangers_certificate_gets_nothing_of_ours(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    folder = site.state / "secrets/setup/hello"
    folder.mkdir(parents=True)
    (folder / "token").write_text("our token\n")
    secret = site.folder / "secret"
    secret.write_text("our secret\n")
    greedy = {"setup": "cat $CREDENTIALS_DIRECTORY/*; grep -r our /run; true", "setup_origin": site.story.trunk_tip()}
    for names in (("token",), (str(secret),)):
        certificate = forged(site, landed, setup_credentials=names, **greedy)
        said = site.replayed(str(certificate))
        assert "not signed by this site" in said
        assert "credentials that this machine does not have" in said
        assert "our token" not in said
        assert "our secret" not in said
    certificate = forged(site, landed, image=site.folder)
    assert "--image" in site.byoci("replay", str(certificate), code=2)
    certificate = forged(site, landed, network=True)
    for words in ((), ("--trunk", str(site.story.repository.trunk))):
        assert "--source" in site.byoci("replay", str(certificate), *words, code=2)


def test_why_does_not_repeat_what_a_stranger_says_as_if_it_were_so(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    shutil.copy(forged(site, landed, commands=("true",)), site.state / "certificates/hello" / landed)
    said = site.byoci("why", landed, code=1)
    assert said.startswith("Not proven: ")
    assert "$ true" in said


@pytest.mark.parametrize("vcs", VCS)
def test_published_certificates_and_the_public_key_are_all_that_an_auditor_needs(
    vcs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    site = Site(tmp_path, vcs, more="certificates.publish = true")
    landed = [site.land(name, **{name: "1\n"})[1] for name in ("one", "two")]
    shutil.copy(site.state / "secrets/landing_ed25519.pub", site.folder / "landing.pub")
    elsewhere = {"BYOCI_HOME": str(site.folder / "other"), "BYOCI_CONFIG": "", "HOME": str(site.folder / "nobody")}
    what = (str(site.story.repository.trunk), "--vcs", vcs, "--published", "--key", str(site.folder / "landing.pub"))
    told = json.loads(site.byoci("audit", *what, "--json", **elsewhere))
    assert (told["ok"], [item["revision"] for item in told["findings"]]) == (True, landed[::-1])


@pytest.mark.parametrize("vcs", VCS)
def test_a_certificate_that_could_not_be_pushed_is_pushed_by_the_next_run(
    vcs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "byoci"))
    site = Site(tmp_path, vcs, more="certificates.publish = true")
    story = site.story
    if vcs == "git":
        hook = Path(story.repository.trunk.url, "hooks/pre-receive")
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\n! grep -q refs/notes\n")
        hook.chmod(0o755)
    else:
        hook = Path(story.repository.trunk.url + "-certificates")
        hook.write_text("in the way\n")
    proposal = story.propose("one", {"one": "1\n"})
    (row,) = story.land()
    assert row.error is not None
    assert story.forge.proposal(proposal.id).merged_revision == story.trunk_tip()
    hook.unlink()
    story.reopen()
    story.land()
    shelf = story.site.shelf(story.site.config.project("hello"))
    assert [revision for revision, _ in shelf.all(story.repository.trunk)] == [story.trunk_tip()]
    assert len(story.forge.comments(proposal.id)) == 1


def typed(terminal: int, until: str, seconds: float = 60.0) -> str:
    """What a terminal shows, up to some words."""
    shown = ""
    deadline = time.monotonic() + seconds
    while until not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                shown += os.read(terminal, 4096).decode("utf-8", "replace")
            except OSError:
                break  # the program has ended
    assert until in shown, shown
    return shown


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_a_person_gets_a_shell_in_the_worker(site: Site, terminal: tuple[int, int]) -> None:
    _, landed = site.land("one", one="1\n")
    ours, theirs = terminal
    process = subprocess.Popen(
        [*PROGRAM, "replay", landed, "--shell"],
        cwd=site.desk,
        env=site.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    try:
        typed(ours, "workspace")  # the prompt
        os.write(ours, b"ls; echo $((6 * 7)); test -t 0 && echo a-$USER-here\n")
        assert "a-worker-here" in (shown := typed(ours, "a-worker-here"))
        assert "42" in shown
        os.write(ours, b"sleep 100\n")
        time.sleep(0.5)
        os.write(ours, b"\x03echo interr''upted\n")
        typed(ours, "interrupted")
        os.write(ours, b"exit 5\n")
        assert process.wait(30) == 5
    finally:
        process.kill()
        process.wait()


def test_a_shell_reads_commands_from_a_pipe_too(site: Site) -> None:
    _, landed = site.land("one", one="1\n")
    done = subprocess.run(
        [*PROGRAM, "replay", landed, "--shell"],
        cwd=site.desk,
        env=site.environment,
        input=b"cat one greeting\nexit 3\n",
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 3, done.stderr
    assert b"hello" in done.stdout
