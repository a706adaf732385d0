"""A person's first five minutes, by the programs that she types, in an empty home."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.agent]
PROGRAM = (sys.executable, "-c", "from byoci.cli.main import main; main()")
OLDER = (sys.executable, "-c", "from byoci.cli.older import slave; slave()")


class Person:
    """Somebody with a home, a shell and a repository."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.repository = folder / "hello"
        self.environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def types(self, *argv: str, cwd: Path | None = None, code: int | None = 0) -> str:
        done = subprocess.run(
            argv,
            cwd=cwd or self.repository,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        text = done.stdout.decode()
        assert code is None or done.returncode == code, (argv, done.returncode, text, done.stderr.decode())
        return text if code in (0, 1, 3) else text + done.stderr.decode()

    def byoci(self, *words: str, cwd: Path | None = None, code: int | None = 0) -> str:
        return self.types(*PROGRAM, *words, cwd=cwd, code=code)

    def git(self, *words: str) -> str:
        name = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
        return self.types("git", *name, *words).strip()


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    person = Person(tmp_path)
    person.repository.mkdir()
    person.git("init", "--quiet", "--initial-branch=main")
    (person.repository / "Makefile").write_text("check:\n\ttest ! -e broken\n")
    person.git("add", "Makefile")
    person.git("commit", "--quiet", "--message", "first")
    return person


def commit(person: Person, branch: str, name: str) -> None:
    person.git("switch", "--quiet", "--create", branch, "main")
    (person.repository / name).write_text("x\n")
    person.git("add", name)
    person.git("commit", "--quiet", "--message", f"add {name}")


@pytest.mark.git
@pytest.mark.slow
def test_git_with_a_checked_out_trunk_is_gated_in_four_commands(ann: Person) -> None:
    assert "make check" in ann.byoci("init")
    commit(ann, "louder", "loud")
    ann.byoci("proposal", "create", "--title", "Greet louder")
    ann.git("switch", "--quiet", "main")
    assert "Approved" in ann.byoci("proposal", "set-status", "1", "approved")
    assert "landed" in ann.byoci("land")
    assert (ann.repository / "loud").read_text() == "x\n"
    assert ann.git("status", "--porcelain") == ""
    assert ann.git("log", "--format=%s", "--first-parent", "main").splitlines() == ["Greet louder", "first"]
    assert ann.byoci("land", code=3) == "No open proposals.\n"
    assert "gated already" in ann.byoci("init", code=None) + ann.types(*PROGRAM, "init", code=None)


@pytest.mark.bzr
@pytest.mark.slow
def test_bzr_with_a_working_tree_is_gated_in_four_commands(ann: Person, tmp_path: Path) -> None:
    ann.environment["BRZ_EMAIL"] = "Ann <ann@example.com>"
    brz = (sys.executable, "-m", "breezy", "--no-plugins")
    trunk, topic = tmp_path / "bzr" / "trunk", tmp_path / "bzr" / "topic"
    trunk.parent.mkdir()
    ann.types(*brz, "init", "--quiet", str(trunk), cwd=tmp_path)
    (trunk / "run-tests").write_text("#!/bin/sh\ntest ! -e broken\n")
    (trunk / "run-tests").chmod(0o755)
    ann.types(*brz, "add", "--quiet", cwd=trunk)
    ann.types(*brz, "commit", "--quiet", "-m", "first", cwd=trunk)
    ann.byoci("init", "--name", "hello", "--test", "./run-tests", cwd=trunk)
    ann.types(*brz, "branch", "--quiet", str(trunk), str(topic), cwd=tmp_path)
    (topic / "new").write_text("x\n")
    ann.types(*brz, "add", "--quiet", cwd=topic)
    ann.types(*brz, "commit", "--quiet", "-m", "add new", cwd=topic)
    ann.byoci("proposal", "create", "--title", "Add new", cwd=topic)
    ann.byoci("proposal", "set-status", "1", "approved", cwd=topic)
    rows = json.loads(ann.byoci("land", "--json", cwd=tmp_path))
    assert [row["outcome"] for row in rows] == ["landed"]
    assert (trunk / "new").read_text() == "x\n"
    assert ann.types(*brz, "status", cwd=trunk) == ""
    assert ann.types(*brz, "revno", cwd=trunk).strip() == "2"


@pytest.mark.git
@pytest.mark.slow
def test_the_json_of_land_is_the_documented_one(ann: Person) -> None:
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--source", "good", "--title", "Good")
    commit(ann, "bad", "broken")
    ann.byoci("proposal", "create", "--source", "bad", "--title", "Bad")
    ann.git("switch", "--quiet", "main")
    for number in "12":
        ann.byoci("proposal", "set-status", number, "approved")
    rows = json.loads(ann.byoci("land", "--json", code=1))
    assert [list(row) for row in rows] == [["project", "proposal", "title", "outcome", "revision", "reasons"]] * 2
    assert [row["outcome"] for row in rows] == ["landed", "tests-failed"]
    assert rows[0]["revision"] == ann.git("rev-parse", "main")
    assert rows[1]["revision"] is None
    assert rows[1]["reasons"]
    queue = json.loads(ann.byoci("queue", "--json"))
    assert [(row["proposal"], row["landable"]) for row in queue] == [("2", False)]


@pytest.mark.git
@pytest.mark.slow
def test_a_vote_that_is_supposed_changes_the_answer_and_nothing_else(ann: Person) -> None:
    assert "approve.trusted" in ann.byoci("init", "--minimum", "1")
    assert "\n# approve.trusted = " in (ann.home / ".config/byoci/byoci.toml").read_text()
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    ann.byoci("proposal", "set-status", "1", "approved")
    me = ann.types("id", "-un").strip()
    told = ann.byoci("explain", "1")
    assert "may not land" in told
    assert "none of the trusted people can still give one" in told
    ann.byoci("proposal", "review", "1", "needs-fixing", "--type", "code")
    assert f"\n  vote      {me} (code): Needs Fixing\n" in ann.byoci("proposal", "show", "1")
    told = json.loads(ann.byoci("explain", "1", "--if", f"{me}=Approve", "--json"))
    assert not told["landable"]  # her own approval does not count
    assert "may not land" in ann.byoci("explain", "1")
    assert "NAME=VOTE" in ann.byoci("explain", "1", "--if", "nonsense", code=2)


def another(person: Person, name: str) -> Path:
    """One more repository of hers, with a trunk and a branch that is checked out."""
    folder = person.home / name
    folder.mkdir()
    git = ("git", "-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-C", str(folder))
    person.types(*git, "init", "--quiet", "--initial-branch=main", cwd=folder)
    person.types(*git, "commit", "--quiet", "--allow-empty", "--message", "first", cwd=folder)
    person.byoci("init", "--test", "true", cwd=folder)
    person.types(*git, "switch", "--quiet", "--create", "work", cwd=folder)
    (folder / "work").write_text("x\n")
    person.types(*git, "add", "work", cwd=folder)
    person.types(*git, "commit", "--quiet", "--message", "work", cwd=folder)
    return folder


@pytest.mark.git
@pytest.mark.slow
def test_in_a_projects_repository_its_proposals_are_meant(ann: Person, tmp_path: Path) -> None:
    first = another(ann, "first")
    assert "set-status 1 approved" in ann.byoci("proposal", "create", cwd=first)
    ann.byoci("init")
    commit(ann, "louder", "loud")
    assert "set-status 2 approved" in ann.byoci("proposal", "create", "--title", "Louder")
    assert [row["proposal"] for row in json.loads(ann.byoci("queue", "--json"))] == ["2"]
    assert [row["proposal"] for row in json.loads(ann.byoci("queue", "--json", "--all"))] == ["1", "2"]
    assert [row["proposal"] for row in json.loads(ann.byoci("queue", "--json", cwd=tmp_path))] == ["1", "2"]
    assert [row["proposal"] for row in json.loads(ann.byoci("queue", "first", "--json"))] == ["1"]
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("proposal", "set-status", "2", "approved")
    assert [row["proposal"] for row in json.loads(ann.byoci("land", "--json"))] == ["2"]
    assert [row["proposal"] for row in json.loads(ann.byoci("land", "--json", cwd=tmp_path))] == ["1"]
    assert "exclude" in ann.byoci("land", "hello", "--all", code=2)


@pytest.mark.git
@pytest.mark.slow
def test_in_a_clone_of_a_projects_repository_it_is_meant_too(ann: Person, tmp_path: Path) -> None:
    another(ann, "first")
    ann.byoci("init")
    ann.git("clone", "--quiet", str(ann.repository), str(tmp_path / "clone"))
    ann.git("-C", str(tmp_path / "clone"), "switch", "--quiet", "--create", "louder")
    assert ann.byoci("proposal", "create", cwd=tmp_path / "clone", code=3) == ""
    ann.git("-C", str(tmp_path / "clone"), "commit", "--quiet", "--allow-empty", "--message", "louder")
    told = ann.byoci("proposal", "create", cwd=tmp_path / "clone")
    assert f"hello 1: proposed {tmp_path}/clone;louder into {ann.repository};main" in told


@pytest.mark.git
@pytest.mark.slow
def test_what_has_landed_is_not_approved_again_by_a_slip(ann: Person) -> None:
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("land")
    assert "landed already" in ann.byoci("proposal", "set-status", "1", "approved", code=2)
    assert json.loads(ann.byoci("proposal", "show", "1", "--json"))["status"] == "Merged"


@pytest.mark.git
@pytest.mark.slow
def test_why_it_did_not_land_is_explained(ann: Person) -> None:
    ann.byoci("init")
    commit(ann, "bad", "broken")
    ann.byoci("proposal", "create", "--title", "Bad")
    ann.byoci("proposal", "set-status", "1", "approved")
    said = ann.byoci("land", code=1)
    assert re.search(r"\nWhat the tests of 1 said last; all is in (/.*\.log)\n  test ! -e broken\n  make: ", said)
    again = ann.byoci("land", code=3)
    assert "said last" not in again
    assert "byoci explain 1" in again
    told = ann.byoci("explain", "1")
    assert "“make check” ended with exit code 2" in told
    log = re.search("log: (.*)", told)
    assert log
    assert "test ! -e broken" in Path(log[1]).read_text()
    attempt = json.loads(ann.byoci("explain", "1", "--json"))["attempt"]
    assert (attempt["outcome"], attempt["log"]) == ("tests-failed", log[1])
    shown = ann.byoci("proposal", "show", "1")
    assert "ended with exit code 2" in shown
    assert "status set (before Needs review, after Approved" in shown
    approve = "byoci proposal set-status 1 approved"
    assert approve in told
    ann.byoci("proposal", "set-status", "1", "approved")
    assert approve not in ann.byoci("explain", "1")
    ann.git("commit", "--quiet", "--allow-empty", "--message", "one more thing")
    assert approve in ann.byoci("explain", "1")


@pytest.mark.git
@pytest.mark.slow
def test_a_branch_of_another_repository_or_of_none_is_not_proposed(ann: Person, tmp_path: Path) -> None:
    ann.byoci("init")
    other = tmp_path / "other"
    ann.types("git", "init", "--quiet", "--initial-branch=work", str(other), cwd=tmp_path)
    ann.git("-C", str(other), "commit", "--quiet", "--allow-empty", "--message", "other")
    told = ann.byoci("proposal", "create", cwd=other, code=2)
    assert f"{other};work is not of the project hello" in told
    assert "byoci init" in told
    commit(ann, "good", "good")
    copy = tmp_path / "copy"  # as when it was cloned by another URL
    ann.types("cp", "-r", str(ann.repository), str(copy), cwd=tmp_path)
    assert f"proposed {copy};good" in ann.byoci("proposal", "create", cwd=copy)
    ann.byoci("proposal", "create")
    ann.git("switch", "--quiet", "--detach")
    assert "No branch is checked out" in ann.byoci("proposal", "create", code=2)
    ann.git("branch", "--quiet", "-D", "good")
    assert "has no branch good" in ann.byoci("proposal", "set-status", "2", "approved", code=2)


@pytest.mark.git
@pytest.mark.slow
def test_what_workers_lack_is_told_before_tests_fail_for_it(ann: Person, tmp_path: Path) -> None:
    own = ann.home / "bin"
    own.mkdir()
    (own / "rocket-check").write_text("#!/bin/sh\n")
    (own / "rocket-check").chmod(0o755)
    ann.environment["PATH"] = f"{own}:{ann.environment['PATH']}"
    tests = {
        "rocket-check --all": f"Workers have no rocket-check: they see this system's own programs, and yours is {own}/",
        "LEVEL=2 no-such-program": "Workers have no no-such-program: they see this system's own programs. Install",
        "python3 -m no_such_module": "Workers' python3 has no no_such_module: install it for all users (python3-no-",
        "python3 -m unittest": None,
        "test -e x": None,
        "[ -e x ]": None,
        "if true; then false; fi": None,
        '"$HOME/venv/bin/x" y': None,
        "'unbalanced": None,
    }
    for number, (command, told) in enumerate(tests.items()):
        config = ("--config", str(tmp_path / f"{number}.toml"))
        said = ann.byoci(*config, "init", "--test", command)
        assert told in said if told else "Workers" not in said, (command, said)


@pytest.mark.git
@pytest.mark.slow
def test_of_a_conflict_it_is_told_how_to_solve_it(ann: Person) -> None:
    ann.byoci("init")
    for branch in ("one", "two"):
        commit(ann, branch, "same")
        (ann.repository / "same").write_text(branch)
        ann.git("commit", "--quiet", "--all", "--amend", "--no-edit")
        ann.byoci("proposal", "create")
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("proposal", "set-status", "2", "approved")
    assert "merge the trunk into the source and commit; then `byoci proposal set-status 2 approved`." in ann.byoci(
        "land", code=1
    )
    ann.git("merge", "--quiet", "--strategy", "ours", "--no-edit", "main")
    ann.byoci("proposal", "set-status", "2", "approved")
    assert json.loads(ann.byoci("land", "--json"))[0]["outcome"] == "landed"


@pytest.mark.git
@pytest.mark.slow
def test_what_landed_is_explained(ann: Person) -> None:
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    assert json.loads(ann.byoci("explain", "1", "--json"))["attempt"] is None
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("land")
    told = ann.byoci("explain", "1")
    assert f"is on its trunk, as {ann.git('rev-parse', 'main')}." in told
    assert "may not land" not in told


@pytest.mark.git
@pytest.mark.slow
def test_a_project_that_cannot_be_worked_on_is_a_row_too(ann: Person, tmp_path: Path) -> None:
    first = another(ann, "first")
    ann.byoci("proposal", "create", cwd=first)
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    ann.byoci("proposal", "set-status", "2", "approved")
    ann.types("rm", "-rf", str(first), cwd=tmp_path)
    rows, _ = json.JSONDecoder().raw_decode(ann.byoci("land", "--json", cwd=tmp_path, code=75))
    assert {row["proposal"]: row["outcome"] for row in rows} == {"1": "error", "2": "landed"}


@pytest.mark.git
@pytest.mark.slow
def test_what_is_done_already_and_what_is_not_done_yet_is_told(ann: Person) -> None:
    (ann.repository / "Makefile").unlink()
    ann.git("commit", "--quiet", "--all", "--message", "no tests")
    assert "how is this project tested" in ann.byoci("init", code=2)
    ann.byoci("init", "--test", "true")
    told = json.loads(ann.types(*PROGRAM, "init", "--json", code=3))
    assert "gated already" in told["error"]  # though nothing tells how it is tested
    (ann.repository / "loud").write_text("x\n")
    ann.git("switch", "--quiet", "--create", "louder")  # and she forgot to commit
    told = json.loads(ann.types(*PROGRAM, "proposal", "create", "--json", code=3))
    assert "holds nothing that the trunk does not" in told["error"]
    assert "Commit" in told["resolution"]


@pytest.mark.git
@pytest.mark.slow
def test_what_is_not_there_is_wrong_use(ann: Person) -> None:
    assert "'nowhere' is not one of" in ann.byoci("--namespace", "nowhere", "queue", code=2)
    ann.byoci("init")
    assert "has no branch nonesuch" in ann.byoci("proposal", "create", "--source", "nonesuch", code=2)
    assert "/nonesuch" in ann.byoci("proposal", "create", "--source", "/nonesuch;main", code=2)
    assert "did you mean site.landing.fullname?" in ann.byoci("config", "site.landing.fulname", code=2)
    assert "did you mean project.hello?" in ann.byoci("config", "project.helo", code=2)


@pytest.mark.git
@pytest.mark.slow
def test_an_error_says_what_happened_and_what_to_do(ann: Person) -> None:
    told = ann.byoci("land", code=2)
    assert "no configuration" in told
    assert "byoci init" in told
    ann.byoci("init")
    assert "--proposal" not in ann.byoci("explain", "99", code=2)
    (ann.home / ".config/byoci/byoci.toml").write_text("[site]\nlanding.fulname = 'x'\n")
    assert "fullname" in ann.byoci("land", code=2)
    error = json.loads(ann.types(*PROGRAM, "land", "--json", code=None))
    assert set(error) == {"error", "details", "resolution"}


@pytest.mark.git
@pytest.mark.slow
def test_the_steps_of_a_landing_by_hand_keep_the_gate(ann: Person, tmp_path: Path) -> None:
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    ann.git("switch", "--quiet", "main")
    work = tmp_path / "work"
    before = ann.git("rev-parse", "main")
    ann.byoci("agent", "merge", "1", str(work))
    assert (work / "good").exists()
    assert not (work / ".git").exists()
    assert "cannot be pushed" in ann.byoci("agent", "push", code=2)
    (work / "smuggled").write_text("not reviewed\n")
    ann.byoci("agent", "run-tests", str(work), "default")
    assert not (work / "smuggled").exists()
    ann.byoci("agent", "commit")
    rows = json.loads(ann.byoci("agent", "push", "--json", code=1))
    assert rows["outcome"] == "waiting"  # nobody approved it
    assert ann.git("rev-parse", "main") == before
    ann.byoci("proposal", "set-status", "1", "approved")
    ann.byoci("agent", "merge", "1", str(work))
    ann.byoci("agent", "run-tests", str(work), "default")
    ann.byoci("agent", "commit")
    landed = json.loads(ann.byoci("agent", "push", "--json"))
    assert landed["revision"] == ann.git("rev-parse", "main") != before
    assert json.loads(ann.byoci("agent", "push", "--json", code=3))["error"] == "nothing of hello was merged by hand"


@pytest.mark.git
@pytest.mark.slow
def test_by_hand_the_working_folder_tells_the_project(ann: Person, tmp_path: Path) -> None:
    another(ann, "first")
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    ann.byoci("proposal", "set-status", "1", "approved")
    work = tmp_path / "work"
    work.mkdir()
    ann.byoci("agent", "merge", "1", cwd=work)
    ann.byoci("agent", "run-tests", ".", "default", cwd=work)
    ann.byoci("agent", "commit", cwd=work)
    assert json.loads(ann.byoci("agent", "push", "--json", cwd=work))["outcome"] == "landed"
    assert "which project" in ann.byoci("agent", "push", cwd=tmp_path, code=2)


@pytest.mark.git
@pytest.mark.slow
def test_the_older_programs_keep_their_verbs_and_exit_codes(ann: Person, tmp_path: Path) -> None:
    ann.byoci("init")
    trunk, work = f"{ann.repository};main", tmp_path / "work"
    assert ann.types(*OLDER, "approved-git-proposals", trunk, code=1) == ""
    ann.types(*OLDER, "land-approved-git-proposal", trunk, str(work), "default")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")
    assert "byoci queue" in ann.types(*OLDER, "land-approved-git-proposal", trunk, str(work), "default")
    ann.git("switch", "--quiet", "main")
    ann.byoci("proposal", "set-status", "1", "approved")
    assert ann.types(*OLDER, "approved-git-proposals", trunk).startswith("1 ")
    ann.types(*OLDER, "land-approved-git-proposal", trunk, str(work), "default")
    assert (ann.repository / "good").exists()
    ann.types(*OLDER, "setup-git-tree", trunk, str(work))
    assert sorted(path.name for path in work.iterdir()) == ["Makefile", "good"]
    assert "hi\n" in ann.types(*OLDER, "run-in-worker", "default", "echo hi >said; cat said", "test -e good", cwd=work)
    ann.types(*OLDER, "run-in-worker", "default", "false | true", cwd=work, code=1)
    assert "credentials" in ann.types(*OLDER, "run-in-worker", "default", "with-credentials make", cwd=work, code=2)
    ann.types(*OLDER, "run-tests", str(work), "default")
    ann.types(*OLDER, "wipe", str(work))
    assert list(work.iterdir()) == []
    assert "no verb no-such-verb" in ann.types(*OLDER, "no-such-verb", code=2)


@pytest.mark.git
@pytest.mark.slow
def test_what_is_no_workspace_is_never_emptied(ann: Person) -> None:
    ann.byoci("init")
    for precious in (str(ann.repository), str(ann.home), str(ann.home / ".byoci"), "/", str(ann.home.parent)):
        ann.byoci("agent", "wipe", precious, code=2)
    assert (ann.repository / "Makefile").exists()


@pytest.mark.git
@pytest.mark.slow
def test_what_tests_print_can_do_nothing_to_a_terminal(ann: Person, tmp_path: Path) -> None:
    ann.byoci("init")
    ann.byoci("agent", "setup-tree", f"{ann.repository};main", str(tmp_path / "work"))
    say = r"printf '\033]52;c;cm0gLXJm\007\033[31mred\033[0m\n'"
    argv = [*PROGRAM, "agent", "run-in-worker", "default", say]
    assert ann.types(*argv, cwd=tmp_path / "work") == "\x1b]52;c;cm0gLXJm\x07\x1b[31mred\x1b[0m\n"  # for programs
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "wb") as terminal, os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(argv, cwd=tmp_path / "work", env=ann.environment, stdout=terminal, check=True)
        assert screen.read(1000) == b"\\x1b]52;c;cm0gLXJm\\x07\x1b[31mred\x1b[0m\r\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_is_taught(ann: Person, shell: str) -> None:
    assert "byoci" in ann.byoci("completion", shell)


@pytest.mark.git
@pytest.mark.slow
def test_proposals_are_completed(ann: Person) -> None:
    ann.byoci("init")
    commit(ann, "good", "good")
    ann.byoci("proposal", "create", "--title", "Good")

    def offered(*words: str) -> list[str]:
        ann.environment |= {"_BYOCI_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(("byoci", *words))}
        ann.environment["COMP_CWORD"] = str(len(words))
        return [line.removeprefix("plain,") for line in ann.byoci().splitlines()]

    assert offered("explain", "") == ["1"]
    assert offered("land", "he") == ["hello"]
    assert offered("proposal", "review", "1", "needs-f") == ["needs-fixing"]
    assert offered("proposal", "set-status", "1", "a") == ["approved"]
    assert offered("agent", "run-tests", "work", "d") == ["default"]
    assert offered("config", "site.landing.f") == ["site.landing.fullname"]
