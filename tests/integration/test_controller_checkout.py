"""Builds of repositories: what is checked out, what steps know of it, and how new revisions start builds."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from controller_process import ControllerProcess, running, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

EXTENSIONS = "hudson.plugins.git.extensions.impl."


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        yield process


def run(folder: Path, *argv: str) -> str:
    person = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "BRZ_EMAIL": "a <a@example.com>"}
    person |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"}
    done = subprocess.run(argv, cwd=folder, env={**os.environ, **person}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class GitRepository:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        run(folder, "git", "init", "--quiet", "--initial-branch", "main")

    def commit(self, name: str) -> str:
        (self.folder / name).write_text(name)
        run(self.folder, "git", "add", "--all")
        run(self.folder, "git", "commit", "--quiet", "--message", name)
        return run(self.folder, "git", "rev-parse", "HEAD")


def git_scm(url: object, branch: str = "*/main", extensions: str = "") -> str:
    return (
        '<scm class="hudson.plugins.git.GitSCM"><userRemoteConfigs><hudson.plugins.git.UserRemoteConfig>'
        f"<url>{escape(str(url))}</url></hudson.plugins.git.UserRemoteConfig></userRemoteConfigs>"
        f"<branches><hudson.plugins.git.BranchSpec><name>{branch}</name></hudson.plugins.git.BranchSpec></branches>"
        f"<extensions>{extensions}</extensions></scm>"
    )


def test_a_git_branch_is_checked_out(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "it's a $(repository)")
    first = repository.commit("one")
    controller.shell("git", "ls; echo $GIT_COMMIT $GIT_BRANCH; touch left", git_scm(repository.folder))
    facts, log = controller.run("git")
    assert facts["result"] == "SUCCESS"
    assert f"Checked out {first}\n" in log
    assert f"{first} origin/main\n" in log
    (repository.folder / "one").unlink()
    second = repository.commit("two")
    _, log = controller.run("git", number=2)
    assert f"Checked out {second}\n" in log
    assert "left\ntwo\n" in log


def test_git_extensions(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository")
    repository.commit("one")
    clean = f"<{EXTENSIONS}CleanCheckout/>"
    relative = f"{EXTENSIONS}RelativeTargetDirectory"
    folder = f"<{relative}><relativeTargetDir>s r c</relativeTargetDir></{relative}>"
    controller.shell("clean", "ls 's r c'; touch 's r c/left'", git_scm(repository.folder, extensions=clean + folder))
    controller.run("clean")
    assert "left\n" not in controller.run("clean", number=2)[1].replace("r c/left\n", "")
    wipe = f"<{EXTENSIONS}WipeWorkspace/>"
    controller.shell("wipe", "ls -A; touch .left", git_scm(repository.folder, extensions=wipe))
    controller.run("wipe")
    assert ".left\n" not in controller.run("wipe", number=2)[1].replace("touch .left\n", "")


def test_a_new_revision_starts_a_build(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository")
    repository.commit("one")
    controller.shell("polled", "true", git_scm(repository.folder))

    def poll() -> int:
        assert controller.post("job/polled/polling").status == 302
        return int(controller.get("job/polled/api/json").json["nextBuildNumber"])

    poll()
    controller.finished("polled", 1)
    assert controller.get("job/polled/1/consoleText").text.startswith("Started by an SCM change\n")
    wait_for(lambda: controller.get("computer/api/json").json["busyExecutors"] == 0)
    assert poll() == 2
    assert controller.get("queue/api/json").json["items"] == []
    repository.commit("two")
    poll()
    assert controller.finished("polled", 2)["result"] == "SUCCESS"


def test_a_repository_that_is_gone_fails_the_build_in_words(controller: ControllerProcess, tmp_path: Path) -> None:
    controller.shell("missing", "true", git_scm(tmp_path / "nowhere"))
    facts, log = controller.run("missing")
    assert facts["result"] == "FAILURE"
    assert "does not appear to be a git repository" in log
    assert controller.post("job/missing/polling").status == 302
    assert controller.get("queue/api/json").json["items"] == []


PARAMETER = (
    "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions><hudson.model.StringParameterDefinition>"
    "<name>BRANCH</name><defaultValue>main</defaultValue></hudson.model.StringParameterDefinition>"
    "</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>"
)


def test_a_branch_that_a_parameter_names(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository")
    main = repository.commit("one")
    run(repository.folder, "git", "tag", "v1")
    run(repository.folder, "git", "checkout", "--quiet", "-b", "feature/x")
    feature = repository.commit("two")
    local = f"<{EXTENSIONS}LocalBranch><localBranch>**</localBranch></{EXTENSIONS}LocalBranch>"
    script = "echo on $(git rev-parse --abbrev-ref HEAD) of $GIT_BRANCH"
    controller.shell("named", script, git_scm(repository.folder, "$BRANCH", local) + PARAMETER)
    cases = [
        ("main", main, "main of origin/main"),
        ("feature/x", feature, "feature/x of origin/feature/x"),
        ("origin/main", main, "main of origin/main"),
        ("refs/tags/v1", main, "v1 of"),
        (main, main, "of"),
        ("$(touch%20/tmp/x);", "", ""),
        ("-x", "", ""),
    ]
    for number, (branch, commit, told) in enumerate(cases, 1):
        facts, log = controller.run("named", f"BRANCH={branch}", number=number)
        assert (facts["result"], f"Checked out {commit}" in log) == ("SUCCESS" if commit else "FAILURE", bool(commit))
        assert told in log
    assert controller.post("job/named/polling").status == 302  # with the default


def test_each_of_many_branches_is_built_once(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository")
    main = repository.commit("one")
    commits = {}
    for name in ("b/one", "b/two", "other"):
        run(repository.folder, "git", "checkout", "--quiet", "-b", name, main)
        commits[name] = repository.commit(name.replace("/", "-"))
    controller.shell("many", "true", git_scm(repository.folder, "origin/b/*"))
    controller.post("job/many/polling")
    controller.finished("many", 2)
    logs = [controller.get(f"job/many/{number}/consoleText").text for number in (1, 2)]
    assert {commit for commit in commits.values() for log in logs if f"Checked out {commit}" in log} == {
        commits["b/one"],
        commits["b/two"],
    }
    wait_for(lambda: controller.get("computer/api/json").json["busyExecutors"] == 0)
    controller.post("job/many/polling")
    assert controller.get("job/many/api/json").json["nextBuildNumber"] == 3
    run(repository.folder, "git", "checkout", "--quiet", "b/one")
    new = repository.commit("three")
    controller.post("job/many/polling")
    controller.finished("many", 3)
    assert f"Checked out {new}" in controller.get("job/many/3/consoleText").text
    assert controller.run("many", number=4)[0]["result"] == "SUCCESS"  # nothing new: the newest again


def test_more_remotes_a_short_history_and_a_part_of_the_tree(controller: ControllerProcess, tmp_path: Path) -> None:
    one, two = GitRepository(tmp_path / "one"), GitRepository(tmp_path / "two")
    for name in ("a", "b", "c"):
        one.commit(name)
        two.commit(name)
    run(two.folder, "git", "checkout", "--quiet", "-b", "theirs")
    (two.folder / "d").mkdir()
    commit = two.commit("d/e")
    remotes = "".join(
        f"<hudson.plugins.git.UserRemoteConfig><name>{name}</name><url>file://{place.folder}</url>"
        "</hudson.plugins.git.UserRemoteConfig>"
        for name, place in (("origin", one), ("other", two))
    )
    extensions = (
        f"<{EXTENSIONS}CloneOption><shallow>true</shallow><depth>2</depth><noTags>true</noTags><timeout>5</timeout>"
        f"</{EXTENSIONS}CloneOption><{EXTENSIONS}SparseCheckoutPaths><sparseCheckoutPaths>"
        f"<{EXTENSIONS}SparseCheckoutPath><path>d</path></{EXTENSIONS}SparseCheckoutPath></sparseCheckoutPaths>"
        f"</{EXTENSIONS}SparseCheckoutPaths><{EXTENSIONS}PerBuildTag/>"
    )
    scm = (
        f'<scm class="hudson.plugins.git.GitSCM"><userRemoteConfigs>{remotes}</userRemoteConfigs><branches>'
        "<hudson.plugins.git.BranchSpec><name>theirs</name></hudson.plugins.git.BranchSpec></branches>"
        f"<extensions>{extensions}</extensions></scm>"
    )
    controller.shell("remotes", "echo all: *; git rev-list --count HEAD; git tag; git branch -r", scm)
    facts, log = controller.run("remotes")
    assert facts["result"] == "SUCCESS", log
    assert f"Checked out {commit}\n" in log
    assert "all: d\n" in log
    assert "\n3\n" in log  # of five: two of main, and one more
    assert "jenkins-remotes-1\n" in log
    assert "origin/main" in log


def test_what_is_new_is_told_and_who_made_it(controller: ControllerProcess, tmp_path: Path) -> None:
    repository = GitRepository(tmp_path / "repository")
    repository.commit("one")
    controller.shell("changing", "test $BUILD_NUMBER = 1", git_scm(repository.folder))
    assert controller.run("changing")[0]["changeSet"]["items"] == []
    (repository.folder / "one").unlink()
    commit = repository.commit("two <b>")
    repository.commit("three")
    facts, _ = controller.run("changing", number=2)
    assert facts["changeSet"]["kind"] == "git"
    items = facts["changeSet"]["items"]
    assert [item["msg"] for item in items] == ["three", "two <b>"]
    assert (items[1]["commitId"], items[1]["authorEmail"], items[1]["author"]["fullName"]) == (
        commit,
        "a@example.com",
        "a",
    )
    assert items[1]["paths"] == [{"editType": "delete", "file": "one"}, {"editType": "add", "file": "two <b>"}]
    assert [person["fullName"] for person in facts["culprits"]] == ["a"]
    facts, _ = controller.run("changing", number=3)
    assert facts["changeSet"]["items"] == []
    assert [person["fullName"] for person in facts["culprits"]] == ["a"]  # still failing


@pytest.mark.parametrize("light", ["false", "true"])
def test_a_bzr_branch_is_checked_out(controller: ControllerProcess, tmp_path: Path, light: str) -> None:
    if not shutil.which("brz"):
        pytest.skip("missing: brz")
    branch = tmp_path / "branch"
    run(tmp_path, "brz", "init", "--quiet", str(branch))

    def commit(name: str) -> None:
        (branch / name).write_text(name)
        run(branch, "brz", "add", "--quiet")
        run(branch, "brz", "commit", "--quiet", "-m", name)

    commit("one")
    name = f"bzr-{light}"
    scm = f'<scm class="hudson.plugins.bazaar.BazaarSCM"><source>{branch}</source><checkout>{light}</checkout></scm>'
    controller.shell(name, "ls; echo is $BZR_REVNO", scm)
    facts, log = controller.run(name)
    assert facts["result"] == "SUCCESS", log
    assert "one\n" in log
    assert "is 1\n" in log
    commit("two")
    assert controller.post(f"job/{name}/polling").status == 302
    assert controller.finished(name, 2)["result"] == "SUCCESS"
    assert "is 2\n" in controller.get(f"job/{name}/2/consoleText").text
    changes = controller.get(f"job/{name}/2/api/json").json["changeSet"]
    (item,) = changes["items"]
    assert (changes["kind"], item["msg"], item["author"]["fullName"], item["authorEmail"]) == (
        "bzr",
        "two",
        "a",
        "a@example.com",
    )
    assert item["paths"] == [{"editType": "add", "file": "two"}]


@pytest.mark.parametrize("url", ["", "-upload-pack=x", "--help"])
def test_an_address_that_is_an_option_is_refused(controller: ControllerProcess, url: str) -> None:
    reply = controller.post("createItem?name=option", f"<project>{git_scm(url)}</project>".encode())
    assert reply.status == 500
    assert "no address of a repository" in reply.text


@pytest.mark.parametrize("branch", ["a b", "-x", "$(x)", ":x", "`x`"])
def test_a_branch_that_is_none_is_refused(controller: ControllerProcess, branch: str) -> None:
    reply = controller.post("createItem?name=branch", f"<project>{git_scm('/x', branch)}</project>".encode())
    assert reply.status == 500
    assert "the controller knows names" in reply.text
