"""An audit finds whatever was done to trunk or to a certificate past the gate, and raises no false alarm."""

from __future__ import annotations

import json
import os
import random
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from both import VCS
from site_under_test import GitPlay, Story

from byoci.gate import audit as audits
from byoci.gate import certificate as certificates
from byoci.gate.audit import Kind
from byoci.model import Location
from byoci.store.certificates import CertificateStore, Verifier, in_folder
from byoci.wiring import vcs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.slow]

LANDINGS = 4
ROUNDS = 40  # of every kind of corruption


class Audited:
    """A trunk with some landings, and what an auditor has of it."""

    def __init__(self, folder: Path, vcs: str) -> None:
        self.story = Story(folder, vcs)
        self.first = self.story.trunk_tip()
        for number in range(LANDINGS):
            self.story.propose(f"topic-{number}", {f"file-{number}": f"{number}\n"})
            self.story.land()
        self.folder = folder
        self.trunk = self.story.repository.trunk
        self.landed = self.ids()
        self.known = dict(in_folder(self.story.site.config.state / "certificates"))
        self.verifier = Verifier(self.story.site.certificates.public_key)
        self.genuine = cache(self.verifier.verify)  # the same question has the same answer
        self._audits = 0

    def ids(self) -> list[str]:
        """Trunk's own history without its first revision, newest first."""
        vcs = self.story.gate().vcs
        vcs.fetch(self.trunk, trusted=True)
        return [revision.id for revision in vcs.history(self.trunk)][:-1]

    def audit(self, known: Mapping[str, bytes] | None = None, trunk: Location | None = None) -> audits.Audit:
        self._audits += 1
        private = self.folder / "auditor" / str(self._audits)
        vcs = vcs_of(self.story.vcs, private, None, local=True)
        held = self.known if known is None else known
        return audits.audit(vcs, trunk or self.trunk, held, self.genuine, since=self.first)


@pytest.fixture(scope="module", params=VCS)
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYOCI_HOME", str(folder / "byoci"))
        made = Audited(folder, request.param)
        yield made
        made.verifier.close()


def bad(found: audits.Audit) -> dict[str, Kind]:
    return {finding.revision: finding.kind for finding in found.findings if finding.kind is not Kind.COVERED}


def test_an_honest_trunk_is_covered(audited: Audited) -> None:
    found = audited.audit()
    assert bad(found) == {}
    assert [finding.revision for finding in found.findings] == audited.landed
    assert (found.before, found.elsewhere) == (1, ())


def test_without_a_beginning_it_is_judged_from_the_first_landing_on(audited: Audited) -> None:
    vcs = vcs_of(audited.story.vcs, audited.folder / "whole", None, local=True)
    found = audits.audit(vcs, audited.trunk, audited.known, audited.genuine)
    assert found.ok
    assert (len(found.findings), found.before) == (LANDINGS, 1)


# Certificates


def changed_field(rnd: random.Random, raw: bytes) -> bytes:
    """One value of the statement is another; the signature stays."""
    statement, signature = certificates.split(raw)
    told = json.loads(statement)
    ways: list[tuple[Any, Any]] = []

    def collect(holder: Any) -> None:
        items = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for key, value in items:
            if isinstance(value, dict | list) and value:
                collect(value)
            else:
                ways.append((holder, key))

    collect(told)
    holder, key = rnd.choice(ways)
    before = holder[key]
    holder[key] = rnd.choice([value for value in ("", "x", 7, None, not before, f"{before}0") if value != before])
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n" + signature


def changed_signature(rnd: random.Random, raw: bytes) -> bytes:
    statement, signature = certificates.split(raw)
    lines = signature.split(b"\n")
    row = rnd.randrange(1, len(lines) - 2)
    at = rnd.randrange(len(lines[row]))
    other = rnd.choice([char for char in b"ABCDabcd0123+/" if char != lines[row][at]])
    lines[row] = lines[row][:at] + bytes([other]) + lines[row][at + 1 :]
    return statement + b"\n" + b"\n".join(lines)


def cut_short(rnd: random.Random, raw: bytes) -> bytes:
    return raw[: rnd.randrange(len(raw) - 1)]


def noise(rnd: random.Random, raw: bytes) -> bytes:
    return rnd.randbytes(rnd.randrange(200))


@pytest.mark.parametrize("corrupt", [changed_field, changed_signature, cut_short, noise])
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_changed_certificate_is_found(
    untouched: Callable[[Mapping[str, bytes]], audits.Audit], audited: Audited, corrupt: Any, seed: int
) -> None:
    rnd = random.Random(seed)
    victim = rnd.choice(audited.landed)
    changed = corrupt(rnd, audited.known[victim])
    assert changed != audited.known[victim]
    assert bad(untouched({**audited.known, victim: changed})) == {victim: Kind.FORGED}


@pytest.fixture(scope="module")
def untouched(audited: Audited) -> Callable[[Mapping[str, bytes]], audits.Audit]:
    """Audits an untouched trunk, which is fetched once, and each merge of which is made once."""

    class Remembering:
        def __init__(self) -> None:
            self._vcs = vcs_of(audited.story.vcs, audited.folder / "untouched", None, local=True)
            self._merged: dict[object, Any] = {}
            self._vcs.fetch(audited.trunk, trusted=True)
            self._history = list(self._vcs.history(audited.trunk))

        def fetch(self, *_: object, **__: object) -> None:
            pass

        def history(self, _: Location) -> Any:
            return iter(self._history)

        def merge(self, *arguments: Any) -> Any:
            if arguments not in self._merged:
                self._merged[arguments] = self._vcs.merge(*arguments)
            return self._merged[arguments]

    vcs: Any = Remembering()
    return lambda known: audits.audit(vcs, audited.trunk, known, audited.genuine, since=audited.first)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_exchanged_certificates_are_found(untouched: Any, audited: Audited, seed: int) -> None:
    one, other = random.Random(seed).sample(audited.landed, 2)
    known = {**audited.known, one: audited.known[other], other: audited.known[one]}
    assert bad(untouched(known)) == {one: Kind.WRONG, other: Kind.WRONG}


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_a_lost_certificate_is_found(untouched: Any, audited: Audited, seed: int) -> None:
    victim = random.Random(seed).choice(audited.landed)
    known = {id_: raw for id_, raw in audited.known.items() if id_ != victim}
    assert bad(untouched(known)) == {victim: Kind.UNCOVERED}


@pytest.fixture(scope="module")
def attackers(tmp_path_factory: pytest.TempPathFactory) -> CertificateStore:
    folder = tmp_path_factory.mktemp("attacker")
    return CertificateStore(folder / "certificates", folder / "key")


def test_another_keys_signature_counts_for_nothing(
    untouched: Any, audited: Audited, attackers: CertificateStore
) -> None:
    for victim in audited.landed:
        statement, _ = certificates.split(audited.known[victim])
        forged = attackers.keep("hello", victim, statement, passed=True).read_bytes()
        assert bad(untouched({**audited.known, victim: forged})) == {victim: Kind.FORGED}


LIES: Mapping[str, Callable[[Any], None]] = {
    "tests failed": lambda told: told["runDetails"]["byproducts"][1]["annotations"].update(passed=False),
    "another message": lambda told: told["buildDefinition"]["externalParameters"]["merge"].update(message="another"),
    "another tree": lambda _: None,
    "another base": lambda told: told["buildDefinition"]["resolvedDependencies"][0]["digest"].update(
        gitCommit="0" * 40, bzrRevision="another"
    ),
    "nobody approved": lambda told: told["buildDefinition"]["externalParameters"]["approval"].update(votes=[]),
    "somebody refused": lambda told: told["buildDefinition"]["externalParameters"]["approval"]["votes"][0].update(
        value="Disapprove"
    ),
    "another proposal": lambda told: told["buildDefinition"]["externalParameters"]["proposal"].update(id="99"),
    "another project": lambda told: told["buildDefinition"]["externalParameters"].update(project="other"),
    "another trunk": lambda told: told["buildDefinition"]["externalParameters"].update(trunk="/elsewhere;main"),
    "another date": lambda told: told["buildDefinition"]["externalParameters"]["approval"].update(
        at="2020-01-01T00:00:00+00:00"
    ),
    "another committer": lambda told: told["buildDefinition"]["externalParameters"]["merge"].update(
        committer=["Eve", "eve@example.com"]
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_that_the_landing_key_signed_is_found(untouched: Any, audited: Audited, lie: str) -> None:
    """The lander itself was wrong, or the key was stolen: what can be recomputed is."""
    victim = audited.landed[1]
    told = json.loads(certificates.split(audited.known[victim])[0])
    LIES[lie](told["predicate"])
    kind = "gitCommit" if audited.story.vcs == "git" else "bzrRevision"
    if lie == "another trunk":
        told["subject"][0]["name"] = "/elsewhere;main"
        told["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] = "/elsewhere;main"
    if lie == "another tree":
        told["subject"][0]["digest"]["gitTree" if audited.story.vcs == "git" else "sha256"] = "0" * 40
    base = told["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"]
    base.pop("bzrRevision" if kind == "gitCommit" else "gitCommit", None)
    line = json.dumps(told, sort_keys=True, separators=(",", ":")).encode()
    store = CertificateStore(audited.folder / "lies", audited.story.site.config.state / "secrets" / "landing_ed25519")
    forged = store.keep("hello", victim, line, passed=True).read_bytes()
    assert bad(untouched({**audited.known, victim: forged})) == {victim: Kind.WRONG}


# Trunk


class Rewriter:
    """Makes a trunk beside the real one in which one landing is another, with everything after it on top."""

    def __init__(self, repository: GitPlay) -> None:
        self._folder = repository.trunk.url

    def git(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, **environment}
        done = subprocess.run(
            ["git", *arguments], cwd=self._folder, env=env, input=stdin, text=True, capture_output=True, check=True
        )
        return done.stdout.rstrip("\n")

    def raw(self, commit: str) -> tuple[list[str], str]:
        head, _, message = self.git("cat-file", "commit", commit).partition("\n\n")
        return head.split("\n"), message + "\n"

    def store(self, head: list[str], message: str) -> str:
        return self.git("hash-object", "-t", "commit", "-w", "--stdin", stdin="\n".join(head) + "\n\n" + message)

    def rebuilt(
        self, last: str, order: list[str], change: Callable[[int, list[str], str], tuple[list[str], str]]
    ) -> Location:
        """Upon `last`, `order`, oldest first: each one's first parent becomes the one before, and it is changed."""
        for number, commit in enumerate(order):
            head, message = self.raw(commit)
            first = next(index for index, line in enumerate(head) if line.startswith("parent "))
            head[first] = f"parent {last}"
            last = self.store(*change(number, head, message))
        self.git("update-ref", "refs/heads/forged", last)
        return Location(self._folder, "forged")


def other_content(rewriter: Rewriter, rnd: random.Random, head: list[str], message: str) -> tuple[list[str], str]:
    blob = rewriter.git("hash-object", "-w", "--stdin", stdin=f"evil {rnd.random()}\n")
    entries = rewriter.git("ls-tree", head[0].split()[1])
    tree = rewriter.git("mktree", stdin=f"{entries}\n100644 blob {blob}\tevil-{rnd.randrange(9)}\n")
    return [f"tree {tree}", *head[1:]], message


def other_parents(rewriter: Rewriter, rnd: random.Random, head: list[str], message: str) -> tuple[list[str], str]:
    parents = [line for line in head if line.startswith("parent ")]
    rest = [line for line in head if not line.startswith("parent ")]
    kept = rnd.choice([parents[:1], [*parents, parents[0]], [parents[0], parents[0]]])
    return [rest[0], *kept, *rest[1:]], message


def other_author(rewriter: Rewriter, rnd: random.Random, head: list[str], message: str) -> tuple[list[str], str]:
    role = rnd.choice(["author", "committer"])
    evil = f"{role} Eve <eve@example.com> {rnd.randrange(10**9)} +0000"
    return [evil if line.startswith(f"{role} ") else line for line in head], message


def other_trailer(rewriter: Rewriter, rnd: random.Random, head: list[str], message: str) -> tuple[list[str], str]:
    key = rnd.choice(["Landing-Project", "Landing-Proposal", "Landing-Id"])
    lines = message.split("\n")
    return head, "\n".join(f"{key}: {rnd.randrange(10**6)}" if line.startswith(f"{key}:") else line for line in lines)


@pytest.fixture(scope="module")
def audited_git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("git")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYOCI_HOME", str(folder / "byoci"))
        made = Audited(folder, "git")
        yield made
        made.verifier.close()


@pytest.mark.git
@pytest.mark.parametrize("corrupt", [other_content, other_parents, other_author, other_trailer])
@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_a_rewritten_landing_is_found_and_all_on_top_of_it(audited_git: Audited, corrupt: Any, seed: int) -> None:
    rnd = random.Random(seed)
    rewriter = Rewriter(audited_git.story.repository)
    victim = rnd.randrange(LANDINGS)
    order = audited_git.landed[::-1]

    def change(number: int, head: list[str], message: str) -> tuple[list[str], str]:
        return corrupt(rewriter, rnd, head, message) if number == victim else (head, message)

    found = audited_git.audit(trunk=rewriter.rebuilt(audited_git.first, order, change))
    assert len(found.findings) == LANDINGS
    assert set(bad(found).values()) == {Kind.UNCOVERED}
    assert len(bad(found)) == LANDINGS - victim
    assert set(found.elsewhere) == set(order[victim:])


@pytest.mark.git
@pytest.mark.parametrize("seed", range(ROUNDS // 2))
def test_another_order_is_found(audited_git: Audited, seed: int) -> None:
    rnd = random.Random(seed)
    order = audited_git.landed[::-1]
    shuffled = order[:]
    while shuffled == order:
        rnd.shuffle(shuffled)
    rewriter = Rewriter(audited_git.story.repository)
    trunk = rewriter.rebuilt(audited_git.first, shuffled, lambda _, head, message: (head, message))
    found = audited_git.audit(trunk=trunk)
    moved = next(index for index, (one, other) in enumerate(zip(order, shuffled, strict=True)) if one != other)
    assert len(bad(found)) == LANDINGS - moved


@pytest.mark.git
def test_a_forged_landing_id_is_no_certificate(audited_git: Audited) -> None:
    """Whoever can push can say that he is the lander, with an id that is right."""
    from byoci.model import MergeMeta, landing_id
    from byoci.vcs.trailers import with_trailers

    rewriter = Rewriter(audited_git.story.repository)
    tip, approved = audited_git.landed[0], rewriter.git("rev-parse", "topic-0")
    head, _ = rewriter.raw(tip)
    told = certificates.decode(certificates.split(audited_git.known[tip])[0])
    meta = MergeMeta("Landing Bot", "bot@example.com", told.meta.at, "hello", "77", landing_id("hello", "77", approved))
    people = [line for line in head if line.split()[0] in ("author", "committer")]
    message = with_trailers("Looks like a landing", meta)
    forged = rewriter.store([head[0], f"parent {tip}", f"parent {approved}", *people], message)
    rewriter.git("update-ref", "refs/heads/forged", forged)
    assert bad(audited_git.audit(trunk=Location(audited_git.trunk.url, "forged"))) == {forged: Kind.UNCOVERED}


@pytest.fixture(scope="module")
def audited_bzr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("bzr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BYOCI_HOME", str(folder / "byoci"))
        made = Audited(folder, "bzr")
        yield made
        made.verifier.close()


@pytest.mark.bzr
@pytest.mark.parametrize("lie", ["content", "message", "committer", "date", "properties", "nothing"])
def test_a_bzr_revision_that_is_another_under_its_name_is_found(audited_bzr: Audited, lie: str) -> None:
    """In bzr a revision's id is a name; whoever can write to trunk's files can give it to something else."""
    from breezy.controldir import ControlDir

    from attack.bzr_forgery import Forger
    from byoci.vcs import bzr_open

    told = certificates.decode(certificates.split(audited_bzr.known[audited_bzr.landed[0]])[0]).candidate
    forged = Location(str(audited_bzr.folder / f"forged-{lie}"))
    with bzr_open.quiet(audited_bzr.folder / "home", None):
        honest = ControlDir.open(audited_bzr.trunk.url).open_branch()
        honest.controldir.sprout(forged.url, revision_id=told.base.encode(), create_tree_if_local=False)
        forger = Forger(forged)
        forger.branch.repository.fetch(honest.repository, told.revision.encode())
        (real,) = honest.repository.get_revisions([told.id.encode()])
        fields = {
            "timestamp": real.timestamp + (lie == "date"),
            "committer": "Eve <eve@example.com>" if lie == "committer" else real.committer,
            "revprops": {**real.properties, **({"author": "Eve"} if lie == "properties" else {})},
        }
        name = next(path for path in files_at(honest, told.id) if path not in files_at(honest, told.base))
        forger.commit(
            [forger.new(name)],
            {name: b"evil\n" if lie == "content" else f"{LANDINGS - 1}\n".encode()},
            revision=told.id.encode(),
            parents=[told.base.encode(), told.revision.encode()],
            message="another" if lie == "message" else real.message,
            **fields,
        )
        bzr_open.give_back()
    assert set(bad(audited_bzr.audit(trunk=forged))) == ({told.id} if lie != "nothing" else set())


def files_at(branch: Any, revision: str) -> set[str]:
    with branch.lock_read():
        tree = branch.repository.revision_tree(revision.encode())
        return {path for path, entry in tree.iter_entries_by_dir() if entry.kind == "file"}
