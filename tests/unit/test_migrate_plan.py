"""A small team's older configuration, migrated: every key, every option's fate, and what is refused whole."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from byoci.config.loading import Config, check
from byoci.config.migrate.jobs import Trunk
from byoci.config.migrate.render import LATER
from byoci.config.migrate.wrong import MigrationError
from byoci.config.source import parse
from byoci.model import Location
from older_team import CONTAINERS, FILES, JOBS, SITE, planned, rows, write

pytestmark = pytest.mark.host


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return write(tmp_path / "ci", FILES)


def loaded(text: str, namespace: str = "testing") -> Config:
    return check(parse(text.encode(), Path("/etc/byoci.toml")), namespace, {"HOME": "/home/ann"})


def refusal(folder: Path, *more: Path) -> str:
    with pytest.raises(MigrationError) as caught:
        planned(folder, *more)
    assert not (folder / "byoci.toml").exists()
    return caught.value.details.replace(str(folder), "ci")


def test_the_team_lands_on_with_the_same_projects(team: Path) -> None:
    config = loaded(planned(team).text)
    assert (config.site.landing.fullname, config.site.landing.email, config.site.landing.user) == (
        "Smithy Bot (testing)",
        "bot-testing@smithy.example",
        "smithy-bot-testing",
    )
    anvil, older, rocket = (config.project(name) for name in ("anvil", "anvil-3.1", "rocket"))
    assert (anvil.vcs, anvil.trunk, anvil.worker) == ("bzr", Location("lp:anvil"), "anvil")
    assert (anvil.tests.command, anvil.setup.command) == (("make check CC=gcc",), ("./setup.sh --for bionic",))
    assert anvil.setup.network
    assert not anvil.tests.network
    assert (older.trunk, older.tests.command) == (Location("lp:anvil/3.1"), ("make check CC=gcc VERBOSE=1",))
    assert older.setup.command == ("./setup.sh --for xenial",)
    assert rocket.trunk == Location("ssh://smithy-bot-testing@git.launchpad.net/~smithy/rocket/+git/rocket", "main")
    assert (config.worker("anvil").memory, config.worker("anvil").disk) == (8 * 1024**3, 20 * 1024**3)
    assert config.worker("rocket").memory == 2 * 1024**3


def test_what_differs_between_namespaces_is_laid_over(team: Path) -> None:
    config = loaded(planned(team).text, "production")
    assert (config.site.landing.fullname, config.site.landing.user) == ("Smithy Bot", "smithy-bot")
    rocket = config.project("rocket")
    assert rocket.trunk.url == "ssh://smithy-bot@git.launchpad.net/~smithy/rocket/+git/rocket"
    assert rocket.tests.command == ("./run-tests --as smithy-bot",)
    assert config.project("anvil").trunk == Location("lp:anvil")


def test_what_this_version_cannot_take_waits_as_comments_that_are_toml(team: Path) -> None:
    text = planned(team).text
    later = tomllib.loads(text.replace(LATER, ""))
    assert later["controller"] == {"engine": "jenkins", "url": "http://10.0.3.5:8080"}
    assert later["image"]["anvil"] == {"base": "ubuntu:bionic", "packages": ["make", "gcc", "python3", "cmake"]}
    assert later["image"]["rocket"]["base"] == "debian:trixie"
    assert later["worker"]["anvil"]["backend"] == "lxd"
    assert later["project"]["anvil"]["forge"] == "launchpad"
    assert later["namespace"]["production"]["controller"]["url"] == "https://ci.smithy.example"
    production = later["namespace"]["production"]["machine"]
    assert production["smithy-slave-1"]["definition"] == {"kind": "pulled", "branch": "lp:~smithy/ci/production"}
    assert later["namespace"]["testing"]["machine"]["monitor"]["host"]["definition"]["dir"] == "/home/ann/ci"
    assert text.endswith('#   production.admin.users = "ann"\n#   testing.admin.users = "ann, bob"\n')
    assert not set(tomllib.loads(text)) & {"controller", "machine", "image"}


def test_the_same_input_gives_the_same_bytes(team: Path, tmp_path: Path) -> None:
    first = planned(team)
    other = write(tmp_path / "elsewhere" / "copy", dict(reversed(FILES.items())))
    assert planned(other).text == first.text
    assert str(tmp_path) not in first.text
    assert [row._replace(place="") for row in planned(other).rows] == [row._replace(place="") for row in first.rows]


def test_every_option_has_a_row_with_its_place_and_fate(team: Path) -> None:
    found = planned(team)
    lines = [(SITE, "byov.conf"), (CONTAINERS, "byov.conf.d/containers.conf")]
    wanted = [
        (line.split("=")[0].strip(), f"{team / name}:{number}")
        for text, name in lines
        for number, line in enumerate(text.splitlines(), 1)
        if "=" in line and not line.startswith("#")
    ]
    assert [(row.option, row.place) for row in found.rows] == wanted
    told = {name: (row.fate, row.now) for name, row in rows(found).items()}
    assert told["testing.landing.email"] == ("mapped", "site.landing.email (testing)")
    assert told["testing.master.url"] == ("later", "controller.url (testing)")
    assert told["production.slaves"][1].startswith("machine.smithy-slave-1.backend (production), machine.")
    assert told["[anvil] byoci.tests.command"] == ("mapped", "project.anvil.tests.command")
    assert told["[anvil] byoci.setup.command"] == (
        "mapped",
        'project.anvil.setup.command, project."anvil-3.1".setup.command',
    )
    assert told["[anvil] vm.ram_size"] == ("mapped", 'worker.anvil.memory, worker."anvil-3.1".memory')
    assert told["[anvil] vm.release"] == ("later", "image.anvil.base")
    assert told["[smithy-slave-testing] vm.ram_size"] == ("refused", "")
    assert told["[smithy-slave-] lxd.nesting"] == ("refused", "")
    assert told["compiler"][0] == "used"
    assert told["debian.release.stable"] == ("used", "image.rocket.base")
    assert told["byoci"] == ("mapped", "--namespace")
    assert rows(found)["[rocket] byoci.test.command"].why.endswith("Did it mean byoci.tests.command?")
    assert {row.fate for row in found.rows} == {"mapped", "later", "refused", "used", "unknown"}
    assert all(row.why for row in found.rows if row.fate in ("refused", "unknown", "overridden"))


def test_what_never_counted_is_told_with_what_did(team: Path) -> None:
    write(team, {"byov.conf.d/zz.conf": "vm.class = docker\ntesting.landing.user = other\n"})
    found = rows(planned(team))
    assert found["vm.class"]._replace(option="", section="") == (
        *("", "", f"{team}/byov.conf.d/zz.conf:1", "overridden", ""),
        f"{team}/byov.conf:4 counts.",
    )


def test_an_option_of_the_site_may_stand_in_a_section_and_the_first_counts(team: Path) -> None:
    lines = SITE.replace("production.landing.fullname = Smithy Bot\n", "")
    lines += "[smithy-slave-1]\nlanding.fullname = general\n"
    lines += "[smithy-slave-2]\nproduction.landing.fullname = second\n"
    lines += "[smithy-slave-3]\nproduction.landing.fullname = third\n"
    write(team, {"byov.conf": lines})
    found = planned(team)
    assert loaded(found.text, "production").site.landing.fullname == "second"
    told = rows(found)
    second, third = (told[f"[smithy-slave-{number}] production.landing.fullname"] for number in (2, 3))
    assert (second.fate, second.now) == ("mapped", "site.landing.fullname (production)")
    assert (third.fate, third.why) == ("overridden", f"{second.place} counts.")
    assert told["[smithy-slave-1] landing.fullname"].fate == "overridden"


def test_a_second_folder_counts_less_and_supplies_what_the_first_lacks(team: Path, tmp_path: Path) -> None:
    write(team, {"byov.conf": SITE.replace("bot@smithy.example", "{mail}")})
    assert refusal(team) == (
        "ci/byov.conf:23: production.landing.email refers to {mail}, which no file here sets; if ~/.config/byov or"
        " /etc/byov does, name that folder too"
    )
    user = write(tmp_path / "user", {"byov.conf": "vm.class = qemu", "conf.d/mail.conf": "mail = ann@home.example"})
    config = loaded(planned(team, user).text, "production")
    assert config.site.landing.email == "ann@home.example"


def test_a_site_without_jobs_waits_for_its_trunks(tmp_path: Path) -> None:
    folder = write(tmp_path / "ci", {name: text for name, text in FILES.items() if not name.startswith("jobs")})
    found = planned(folder)
    assert not loaded(found.text).projects
    assert tomllib.loads(found.text.replace(LATER, ""))["project"]["rocket"]["worker"] == "rocket"
    assert any("--trunk rocket VCS TRUNK" in note for note in found.notes)
    trunks = (
        Trunk("rocket", "git", "https://git.example.com/rocket.git;dev", "rocket", "--trunk"),
        Trunk("anvil", "bzr", "~/anvil", "anvil", "--trunk"),
    )
    config = loaded(planned(folder, trunks=trunks).text)
    assert config.project("rocket").trunk == Location("https://git.example.com/rocket.git", "dev")
    assert config.project("anvil").trunk == Location("/home/ann/anvil")
    assert list(config.projects) == ["anvil", "rocket"]


def test_a_named_trunk_takes_the_place_of_the_jobs(team: Path) -> None:
    trunk = Trunk("rocket", "git", "/srv/rocket.git", "rocket", "--trunk")
    assert loaded(planned(team, trunks=(trunk,)).text).project("rocket").trunk == Location("/srv/rocket.git", "master")


def test_gitlab_and_launchpad_git_without_a_branch(tmp_path: Path) -> None:
    job = "- job:\n    shell: byo-ci-slave land-approved-{}-proposal {} work {}\n"
    folder = write(
        tmp_path / "ci",
        {
            "byov.conf": "vm.class=lxd\nlanding.user=bot\ngitlab.api.url = https://gitlab.example.com/api/v4\n"
            "[a]\nbyoci.tests.command=t\n[b]\nbyoci.tests.command=t\n",
            "jobs/a.yml": job.format("gitlab", "group/a", "a") + job.format("git", "lp:b", "b"),
        },
    )
    config = loaded(planned(folder).text)
    assert config.project("a").trunk == Location("ssh://git@gitlab.example.com/group/a.git", "master")
    assert config.project("b").trunk == Location("ssh://bot@git.launchpad.net/b", "master")
    later = tomllib.loads(planned(folder).text.replace(LATER, ""))["project"]
    assert (later["a"]["forge"], later["b"]["forge"]) == ("gitlab", "launchpad")


@pytest.mark.parametrize(
    ("job", "note"),
    [
        ("land-approved-git-proposal '$TRUNK' work rocket", "$TRUNK is not known here"),
        ("land-approved-git-proposal 'lp:rocket", "the job's trunk cannot be read"),
        ("land-approved-git-proposal lp:rocket work", "the job's trunk cannot be read"),
        ("land-approved-{vcs}-proposal lp:rocket work rocket", "{vcs} is not known here"),
        ("land-approved-bzr-proposal ../rocket work rocket", "rocket: its trunk is a relative path"),
        ("land-approved-gitlab-proposal g/rocket work rocket", "rocket: gitlab.api.url is not set"),
    ],
)
def test_a_trunk_that_cannot_be_known_is_told_and_waits(team: Path, job: str, note: str) -> None:
    write(team, {"jobs/land.yaml": f"- job:\n    name: x\n    shell: byo-ci-slave {job}\n"})
    found = planned(team)
    assert any(note in one for one in found.notes), found.notes
    assert "rocket" not in loaded(found.text).projects
    assert "rocket" in tomllib.loads(found.text.replace(LATER, ""))["project"]


def test_a_template_that_no_project_uses_is_told(team: Path) -> None:
    write(team, {"jobs/land.yaml": JOBS.split("- project:")[0]})
    assert any("no project here uses the template" in note for note in planned(team).notes)


def test_templates_in_groups_and_options_of_the_older_command(team: Path) -> None:
    jobs = JOBS.replace("- 'land-{name}'", "- 'all-{name}'").replace("byo-ci-slave land", "byo-ci-slave  -v land")
    jobs = jobs.replace("{vcs}-proposal", "{vcs}-proposal -O a=b --option c=d -Oe=f")
    write(
        team, {"jobs/land.yaml": jobs + "\n- job-group:\n    name: 'all-{name}'\n    jobs:\n      - 'land-{name}':\n"}
    )
    assert list(loaded(planned(team).text).projects) == ["anvil", "anvil-3.1", "rocket"]


def test_no_name_of_the_committer_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path / "ci", {"byov.conf": "vm.class = lxd\nlaunchpad.login = ann\n"})
    found = planned(folder, namespace="selftest")
    landing = loaded(found.text, "selftest").site.landing
    assert (landing.fullname, landing.email, landing.user) == ("Landing Bot", "landing-bot@localhost", "ann")
    assert sum("stands in for what `bzr whoami` told" in note for note in found.notes) == 2


def test_the_monitors_own_options(tmp_path: Path) -> None:
    text = "byoci.url = http://ci:8080\nbyoci.user = bot\njenkins.plugins = git bzr\n[x]\nbyoci.user = other\n"
    folder = write(tmp_path / "ci", {"byoci.conf": text})
    found = planned(folder)
    assert tomllib.loads(found.text.replace(LATER, ""))["controller"]["url"] == "http://ci:8080"
    assert found.text.endswith('#   byoci.user = "bot"\n#   jenkins.plugins = "git bzr"\n')
    assert [row.fate for row in found.rows] == ["later", "later", "later", "refused"]


def test_notes_on_machines_and_programs_are_told_and_not_used(team: Path) -> None:
    write(team, {"existing-vms.conf": "[rocket]\nvm.ip = 10.0.3.7\n", "byov.conf.d/byov.py": "raise SystemExit(1)\n"})
    found = planned(team)
    assert [(row.option, row.fate) for row in found.rows[-2:]] == [("vm.ip", "refused"), ("byov.py", "refused")]
    assert "10.0.3.7" not in found.text


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("byoci = staging", "ci/byov.conf.d/zz.conf:1: there is no namespace staging; there are testing, production"),
        ("[a/../b]\nvm.class = lxd", "ci/byov.conf.d/zz.conf:2: a/../b is no good name"),
        ("[rocket-2]\nvm.ram_size = 2G", "ci/byov.conf.d/zz.conf:2: vm.ram_size must be a number of megabytes"),
        ("[rocket-2]\nvm.disk_size = big", "ci/byov.conf.d/zz.conf:2: worker.rocket-2.disk must be a size"),
        ("[rocket-2]\nvm.packages = @nope", "ci/byov.conf.d/zz.conf:2: there is no file nope in the folders"),
        ("[rocket-2]\nvm.release = {a}\na = {vm.release}", "ci/byov.conf.d/zz.conf:2: vm.release refers to itself: vm"),
        ("no option", "ci/byov.conf.d/zz.conf:1: is neither a [section] nor an option = value"),
    ],
)
def test_what_is_wrong_is_refused_whole_with_its_place(team: Path, extra: str, told: str) -> None:
    write(team, {"byov.conf.d/zz.conf": extra})
    assert refusal(team).startswith(told)


def test_all_files_that_are_wrong_are_told_at_once(team: Path) -> None:
    write(team, {"byov.conf.d/a.conf": "x", "byov.conf.d/b.conf": "[a]\n[a]"})
    assert refusal(team).splitlines() == [
        "ci/byov.conf.d/a.conf:1: is neither a [section] nor an option = value",
        "ci/byov.conf.d/b.conf:2: begins section [a], which began on line 1 already",
    ]


def test_a_value_that_the_new_byoci_refuses_is_told_at_its_older_place(team: Path) -> None:
    write(team, {"byov.conf": SITE.replace("bot@smithy.example", "nobody")})
    assert refusal(team) == (
        'ci/byov.conf:23: namespace.production.site.landing.email must be an address such as "bot@example.com"'
    )
