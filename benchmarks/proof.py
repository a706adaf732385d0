"""What proving costs: a landing's certificate, an audit of a thousand landings, and starting up on ten thousand."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.runner import Figure, milliseconds
from byoci import proc
from byoci.config.loading import load
from byoci.gate import audit, certifying, rounds
from byoci.gate.certifying import MergeHow
from byoci.model import Ballot, Candidate, Location, MergeMeta, Proposal, Status, Verdict, landing_id
from byoci.store.certificates import Verifier, in_folder
from byoci.vcs.trailers import with_trailers
from byoci.wiring import Site, vcs_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runner import Tell
    from byoci.gate.plan import Gate

_AUDITED: Final = 1_000
_ON_TRUNK: Final = 10_000
_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ANN: Final = "Ann <ann@example.com> 1700000000 +0000"
_BOT: Final = "Landing Bot <bot@example.com> 1767225600 +0000"
_CONFIG: Final = """\
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[project.measured]
vcs = "git"
trunk = "{trunk};main"
tests.command = "true"
approve.minimum = 0
"""


def measure(tell: Tell) -> Iterator[Figure]:
    """All of it, in git."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as folder:
        yield from _audit(Path(folder, "audit"), tell)
        yield from _recovery(Path(folder, "recovery"), tell)


def _audit(folder: Path, tell: Tell) -> Iterator[Figure]:
    tell(f"making {_AUDITED:,} landings with their certificates")
    trunk = _repository(folder)
    topics = _import(trunk, _topics())
    site, gate = _site(folder, trunk)
    location = gate.project.trunk
    base = gate.vcs.fetch(location, trusted=True)
    gate.vcs.fetch(Location(location.url, "topics"))
    spent = []
    for number, topic in enumerate(topics[1:-1]):  # the last one only holds the others together
        candidate, how = _merged(gate, base, topic, str(number))
        ballot = Ballot(_proposal(str(number), topic, location))
        verdict = Verdict(True, "the tests passed", 1.0, None, "/log", "0" * 64, _AT, {"backend": "bubblewrap"})
        spent.append(
            milliseconds(lambda b=ballot, c=candidate, h=how, v=verdict: certifying.keep(gate, b, c, h, None, v))  # type: ignore[misc]
        )
        base = candidate.id
    yield Figure("certificate: signed and durable", "ms", spent, target=20.0, absolute=True)
    private = site.config.state / "repositories" / "measured.git" / "objects.git"
    _git(trunk, "fetch", "--quiet", str(private), f"{base}:refs/heads/main")
    tell(f"auditing {_AUDITED:,} landings")
    verifier = Verifier(site.certificates.public_key)
    known = dict(in_folder(site.config.state / "certificates"))
    begun = time.perf_counter()
    found = audit.audit(vcs_of("git", folder / "auditor", None, local=True), location, known, verifier.verify)
    seconds = time.perf_counter() - begun
    verifier.close()
    assert found.covered == _AUDITED, found.findings[0]
    yield Figure(f"audit of {_AUDITED:,} landings", "s", [seconds], target=60.0, absolute=True)


def _recovery(folder: Path, tell: Tell) -> Iterator[Figure]:
    tell(f"making {_ON_TRUNK:,} landings on one trunk, and as many proposals")
    trunk = _repository(folder)
    landed = _import(trunk, _landings())
    site, _ = _site(folder, trunk)
    _told(site, trunk, landed)
    tell("starting up with the index lost")
    begun = time.perf_counter()
    rounds.recover(site.gate("measured", lambda _: None))
    yield Figure(
        f"start-up, {_ON_TRUNK:,} landings, no index", "s", [time.perf_counter() - begun], target=30.0, absolute=True
    )
    tell("starting up with the index there")
    spent = []
    for _ in range(5):
        again = Site(site.config)
        begun = time.perf_counter()
        rounds.recover(again.gate("measured", lambda _: None))
        spent.append(time.perf_counter() - begun)
    yield Figure(f"start-up, {_ON_TRUNK:,} landings", "s", spent, target=1.0, absolute=True)


def _site(folder: Path, trunk: Path) -> tuple[Site, Gate]:
    config = folder / "byoci.toml"
    config.write_text(_CONFIG.format(trunk=trunk))
    environment = {"HOME": str(folder), "BYOCI_HOME": str(folder / "home"), "BYOCI_CONFIG": str(config)}
    site = Site(load(environ=environment))
    return site, site.gate("measured", lambda _: None)


def _merged(gate: Gate, base: str, topic: str, proposal: str) -> tuple[Candidate, MergeHow]:
    id_ = landing_id("measured", proposal, topic)
    how = MergeHow("Do it", MergeMeta("Landing Bot", "bot@example.com", _AT, "measured", proposal, id_))
    candidate = gate.vcs.merge(base, topic, how.message, how.meta)
    assert isinstance(candidate, Candidate)
    return candidate, how


def _proposal(id_: str, approved: str, trunk: Location) -> Proposal:
    return Proposal(
        "local", "measured", id_, "Do it", "bob", Location(trunk.url, "topics"), trunk, Status.APPROVED, _AT,
        approved_revision=approved, approved_at=_AT, approved_by="alice",
    )  # fmt: skip


def _told(site: Site, trunk: Path, landed: list[str]) -> None:
    """A local forge that knows all the proposals as merged; written at once, as years of use would have."""
    _ = site.local_forge
    with sqlite3.connect(site.config.local_forge_path) as database:
        database.executemany(
            "INSERT INTO proposal (id, project, title, description, author, source_url, source_branch, target_url,"
            " target_branch, status, created_at, merged_revision) VALUES (?, 'measured', 'Do it', '', 'bob', ?, '',"
            " ?, 'main', 'Merged', '2026-01-01T00:00:00+00:00', ?)",
            ((number + 1, f"/bob/{number}", str(trunk), commit) for number, commit in enumerate(landed[2::2])),
        )
    database.close()


def _repository(folder: Path) -> Path:
    folder.mkdir()
    _git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "trunk.git")
    return folder / "trunk.git"


def _topics() -> Iterator[str]:
    """A first commit, and many others on top of it that each add a file; a ref for all of them."""
    yield f"commit refs/heads/main\nmark :1\ncommitter {_ANN}\ndata 5\nfirst\nM 100644 inline a\ndata 2\na\n\n"
    for number in range(_AUDITED):
        yield (
            f"commit refs/heads/topic-{number}\nmark :{number + 2}\ncommitter {_ANN}\ndata 4\nwork\nfrom :1\n"
            f"M 100644 inline file-{number}\ndata 2\nb\n\n"
        )
    merged = "".join(f"merge :{number + 2}\n" for number in range(1, _AUDITED))
    yield f"commit refs/heads/topics\nmark :{_AUDITED + 2}\ncommitter {_ANN}\ndata 3\nall\nfrom :2\n{merged}\n"


def _landings() -> Iterator[str]:
    """Topics and their landings in turn; the ids are right, so they count. A topic's id is needed for its landing's."""
    import hashlib

    empty = hashlib.sha1(b"tree 0\0", usedforsecurity=False).hexdigest()

    def commit_id(parents: list[str], person: str, message: str) -> str:
        lines = [
            f"tree {empty}",
            *(f"parent {parent}" for parent in parents),
            f"author {person}",
            f"committer {person}",
        ]
        body = "\n".join(lines) + f"\n\n{message}"
        raw = f"commit {len(body.encode())}\0{body}".encode()
        return hashlib.sha1(raw, usedforsecurity=False).hexdigest()

    def commit(ref: str, mark: int, person: str, message: str, parents: list[int]) -> str:
        words = ("from", "merge")
        below = "".join(f"{word} :{parent}\n" for word, parent in zip(words, parents, strict=False))
        size = len(message.encode())
        head = f"commit refs/heads/{ref}\nmark :{mark}\nauthor {person}\ncommitter {person}\n"
        return f"{head}data {size}\n{message}\n{below}\n"

    yield commit("main", 1, _ANN, "first\n", [])
    tip, mark = commit_id([], _ANN, "first\n"), 1
    for number in range(_ON_TRUNK):
        topic = commit_id([tip], _ANN, "work\n")
        id_ = str(number + 1)
        meta = MergeMeta("Landing Bot", "bot@example.com", _AT, "measured", id_, landing_id("measured", id_, topic))
        message = with_trailers("Do it", meta)
        top = mark + 1
        yield commit("topic", top, _ANN, "work\n", [mark])
        yield commit("main", top + 1, _BOT, message, [mark, top])
        tip, mark = commit_id([tip, topic], _BOT, message), top + 1


def _import(trunk: Path, stream: Iterator[str]) -> list[str]:
    """Feed a stream to git fast-import; the ids of its marks, in order."""
    marks = trunk.parent / "marks"
    text = "".join(stream).encode()
    proc.run(["git", "fast-import", "--quiet", f"--export-marks={marks}"], env=_environment(), cwd=trunk, stdin=text)
    numbered = (line.split() for line in marks.read_text().splitlines())
    return [id_ for _, id_ in sorted((int(mark[1:]), id_) for mark, id_ in numbered)]


def _git(folder: Path, *arguments: str) -> str:
    return proc.run(["git", *arguments], env=_environment(), cwd=folder).text


def _environment() -> dict[str, str]:
    return proc.base_environment() | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
