"""From a file to values, and every way in which a file can be wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.config.loading import Config, check, load
from byoci.config.source import overlay, parse
from byoci.errors import ConfigError
from byoci.model import Location
from byoci.worker.base import Limits

SITE = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
"""
HELLO = (
    SITE
    + """
[project.hello]
vcs = "git"
trunk = "~/src/hello.git;main"
tests.command = "make check"
"""
)
ENVIRON = {"HOME": "/home/ann"}


def config(text: str, namespace: str = "testing", environ: dict[str, str] | None = None) -> Config:
    return check(parse(text.encode(), Path("/etc/site/byoci.toml")), namespace, environ or ENVIRON)


def refusal(text: str, namespace: str = "testing") -> list[str]:
    """The lines that tell what is wrong, without the file's folder."""
    with pytest.raises(ConfigError) as caught:
        config(text, namespace)
    assert caught.value.exit_code == 2
    return caught.value.details.replace("/etc/site/", "").splitlines()


def test_a_project_and_its_defaults() -> None:
    loaded = config(HELLO)
    hello = loaded.project("hello")
    assert (hello.name, hello.vcs, hello.forge, hello.worker) == ("hello", "git", "local", "default")
    assert hello.trunk == Location("/home/ann/src/hello.git", "main")
    assert hello.tests.command == ("make check",)
    assert not hello.tests.network
    assert (hello.approve.minimum, hello.approve.trusted, hello.approve.self) == (1, None, False)
    assert loaded.site.landing.attempts == 3
    assert loaded.state == Path("/home/ann/.byoci/testing")
    assert loaded.local_forge_path == Path("/home/ann/.byoci/testing/forge.sqlite")


def test_the_default_worker_has_the_limits_of_the_worker_protocol() -> None:
    worker = config(SITE).worker("default")
    limits = Limits(worker.memory, worker.processes, worker.time, worker.output, worker.disk)
    assert limits == Limits()
    assert config(SITE).image_of(worker) == "host"


def test_workers_images_teams_and_the_rest() -> None:
    loaded = config(
        SITE
        + """
[worker.big]
memory = "4G"
time = "2h"
image = "debian"
[image.debian]
path = "roots/debian"
[team.core]
members = ["ann", "bob"]
[forge.local]
administrators = ["root"]
path = "~/forge.sqlite"
[vcs]
sources.schemes = ["https"]
[vcs.rewrite]
"https://git.example.com/" = "/srv/mirror/"
"""
    )
    big = loaded.worker("big")
    assert (big.memory, big.time) == (4 * 1024**3, 7200.0)
    assert loaded.image_of(big) == "/etc/site/roots/debian"
    assert loaded.teams["core"].members == ("ann", "bob")
    assert loaded.local_forge.administrators == ("root",)
    assert loaded.local_forge_path == Path("/home/ann/forge.sqlite")
    assert loaded.vcs.sources.schemes == ("https",)
    assert loaded.vcs.rewrite == {"https://git.example.com/": "/srv/mirror/"}
    assert set(loaded.workers) == {"default", "big"}


# --- what is wrong, in words ---


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("approve.minimum = -1", "project.hello.approve.minimum must be at least 0"),
        ("approve.minimum = true", "project.hello.approve.minimum must be a whole number"),
        ('approve.trusted = "ann"', 'project.hello.approve.trusted must be a list, such as ["a", "b"]'),
        ('approve.trusted = ["a b"]', "project.hello.approve.trusted (entry 1) must hold names of people or teams"),
        ("tests.network = 1", "project.hello.tests.network must be true or false"),
        ("tests.environment = 3", "project.hello.tests.environment must be a table"),
        ("tests.environment.A = 3", "project.hello.tests.environment.A must be text, in quotes"),
        ('tests.environment."A-B" = "x"', "project.hello.tests.environment.A-B is no name of an environment variable"),
        ('tests.environment.A = "x\\u0000"', "project.hello.tests.environment.A may not hold a NUL"),
        ('tests.results = ["../*.xml"]', "project.hello.tests.results (entry 1) must be a path within the project"),
        ('setup.inputs = ["/etc/shadow"]', "project.hello.setup.inputs (entry 1) must be a path within the project"),
        ("setup.network = true", "project.hello.setup has no command, so the other keys have no effect"),
        ("setup.command = []", "project.hello.setup.command must be a shell command, or a list of them"),
        ('setup.command = ["a", " "]', "project.hello.setup.command (entry 2) must be a shell command"),
        ("setup = 3", "project.hello.setup must be a table"),
        ('worker = "defualt"', 'project.hello.worker names no worker: there is no "defualt"; did you mean "default"?'),
        ("worker = 3", "project.hello.worker must be text, in quotes"),
        ('forge = "gitlab"', 'project.hello.forge is not in this version: use "local"'),
        ('forge = "sourceforge"', 'project.hello.forge must be "local"'),
        ("tests.reuse = true", "project.hello.tests.reuse needs a worker with an image"),
        (
            "tests = { command = 'x', reuse = true, network = true }",
            "project.hello.tests reuse = true and network = true exclude",
        ),
        ("2024-01-01 = 3", "project.hello.2024-01-01 is not known; known here: vcs, forge, trunk"),
    ],
)
def test_a_wrong_value_of_a_project_is_told_in_words(line: str, complaint: str) -> None:
    given = HELLO.replace('tests.command = "make check"\n', "") if line.startswith("tests = ") else HELLO
    told = refusal(given + line)
    assert any(f"byoci.toml:{len((given + line).splitlines())}: {complaint}" in text for text in told), told


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "byoci.toml: site.landing.fullname is missing"),
        (
            'site.landing.fullname = "A <b"\nsite.landing.email = "a@b"',
            "1: site.landing.fullname must be a name without <",
        ),
        (
            'site.landing.fullname = "A\\nB"\nsite.landing.email = "a@b"',
            "1: site.landing.fullname must be a single line",
        ),
        ('site.landing.fullname = "A"\nsite.landing.email = "a> b@c"', "2: site.landing.email must be an address"),
        (SITE + "[project]\nx = 3", "6: project.x must be a table"),
        (SITE + "[[project]]", "5: project must be a table"),
        (SITE + '[project.".x"]', '5: project.".x" is no good name'),
        (SITE + '[project."a/../b"]', '5: project."a/../b" is no good name'),
        (SITE + '[project.x]\nvcs = "svn"', '6: project.x.vcs must be "git" or "bzr"'),
        (SITE + '[project.x]\nvcs = "git"', "5: project.x.trunk is missing"),
        (SITE + '[project.x]\nvcs = "git"', "5: project.x.tests.command is missing"),
        (SITE + '[project.x]\ntrunk = "a\\nb"', "6: project.x.trunk must be a single line"),
        (SITE + '[project.x]\ntrunk = "--upload-pack=x"', "6: project.x.trunk must be a URL or path"),
        (SITE + '[worker.x]\nmemory = "2X"', "6: worker.x.memory must be a size"),
        (SITE + '[worker.x]\nmemory = "many"', '6: worker.x.memory must be a size such as "512M" or "2G"'),
        (SITE + "[worker.x]\nmemory = inf", "6: worker.x.memory must be a size"),
        (SITE + "[worker.x]\ntime = 0", '6: worker.x.time must be a time such as "90s"'),
        (SITE + '[worker.x]\ntime = "3y"', "6: worker.x.time must be a time"),
        (SITE + '[worker.x]\nbackend = "podman"', '6: worker.x.backend is not in this version: use "bubblewrap"'),
        (
            SITE + '[worker.x]\nimage = "py"\n[image.python]\npath = "x"',
            '6: worker.x.image names no image: there is no "py"',
        ),
        (SITE + '[image.x]\nbase = "debian:bookworm"', "6: image.x.base is not in this version"),
        (SITE + '[image.host]\npath = "/"', "5: image.host has a name that means the system's own folders"),
        (SITE + '[controller]\nengine = "hudson"', '6: controller.engine must be "embedded" or "jenkins"'),
        (SITE + '[controller]\nengine = "jenkins"', "5: controller is a Jenkins, and has no url"),
        (
            SITE + '[controller]\nengine = "jenkins"\nurl = "http://ci.example.com/"',
            "5: controller is asked beyond this machine over http, where the token would travel in clear",
        ),
        (SITE + '[controller]\nuser = "a:b"', "6: controller.user must be the name of an account there"),
        (SITE + '[controller]\nlisten = "0.0.0.0"', "5: controller listens beyond this machine"),
        (SITE + '[controller]\nlisten = "0.0.0.0"\nurl = "http://x/"', "5: controller listens beyond this machine"),
        (SITE + '[controller]\nlisten = "localhost"', "6: controller.listen must be an address of this machine"),
        (SITE + '[controller]\nurl = "ci.example.com"', '6: controller.url must be an address such as "https://'),
        (SITE + '[controller]\nurl = "https://a:b@ci.example.com"', "6: controller.url must be an address"),
        (SITE + "[controller]\nport = 65536", "6: controller.port must be at most 65535"),
        (SITE + '[controller]\nusers = "x"', "6: controller.users is not known"),
        (SITE + '[agent.far]\nhost = "far"', "5: agent.far has no host_keys, and nothing is trusted on first use"),
        (SITE + '[agent.far]\nhost = "-oProxyCommand=x"', "6: agent.far.host must be the name or address of a host"),
        (SITE + '[agent.far]\nhost = "::1"\nuser = "-x"', "7: agent.far.user must be the name of a user"),
        (
            SITE + '[agent.far]\nhost = "::1"\nhost_keys = ["ssh-ed25519 AAAA"]',
            "7: agent.far.host_keys (entry 1) must hold public keys",
        ),
        (SITE + '[agent.far]\nhost = "::1"\nlabels = ["a b"]', "7: agent.far.labels (entry 1) must hold labels"),
        (SITE + '[agent.loopback]\nhost = "::1"', "agent.loopback is the name of the agent that byoci up makes"),
        (SITE + "[machine.monitor]", "5: machine is not in this version"),
        (SITE + 'vcs.sources.schemes = ["ext"]', "5: site.vcs is not known"),
        (SITE + '[vcs]\nsources.schemes = ["ext"]', '6: vcs.sources.schemes (entry 1) must be "https" or'),
        (SITE + '[forge.local]\nadministrators = [""]', "6: forge.local.administrators (entry 1) must hold names"),
        (SITE + "[projects.x]", "5: projects is not known; the nearest known name is project"),
        (
            SITE + '[project.x]\ncommand = "x"',
            "6: project.x.command is not known; there is project.NAME.tests.command and",
        ),
        (
            SITE + '[landing]\nfullname = "x"',
            "6: landing.fullname is a name of the older byoci; now it is site.landing.fullname",
        ),
        (SITE + '[byoci]\ntests.command = "x"', "now it is project.NAME.tests.command"),
        (SITE + "[slave]\nx.y = 1", "slave.x.y is a name of the older byoci; now it is agent"),
        (
            SITE + '[launchpad]\nlogin = "x"',
            "launchpad.login is a name of the older byoci; now it is site.landing.user",
        ),
        (
            SITE + "[namespace.prod.site]",
            '5: namespace has a wrong name: there is no "prod"; did you mean "production"?',
        ),
        (
            SITE + "[namespace.production]\nsite.landing.email = 3",
            "6: namespace.production.site.landing.email must be text",
        ),
        (
            SITE + "[namespace.production.projekt]",
            "5: namespace.production.projekt is not known; the nearest known name is",
        ),
    ],
)
def test_a_wrong_file_is_told_in_words(text: str, complaint: str) -> None:
    told = refusal(text)
    assert any(complaint in line for line in told), told


def test_everything_wrong_is_told_at_once_in_the_files_order_and_bounded() -> None:
    told = refusal(SITE + "\n".join(f"unknown{number} = 1" for number in range(100)))
    assert len(told) == 21
    assert told[0].startswith("byoci.toml:5: site.unknown0 ")
    assert told[-1] == "and 80 more"


def test_what_both_base_and_overlay_inherit_is_told_once() -> None:
    told = refusal(SITE + "typo = 1\n[namespace.production.site]\n[namespace.selftest.site]\n")
    assert told == ["byoci.toml:5: site.typo is not known; known here: landing"]


def test_one_trunk_belongs_to_one_project_however_it_is_spelled() -> None:
    told = refusal(
        HELLO + '[project.again]\nvcs = "git"\ntests.command = "x"\ntrunk = "file:///home/ann/src/hello.git/;main"'
    )
    assert told == ['byoci.toml:13: project.again.trunk is the trunk of project "hello" already']
    config(HELLO + '[project.again]\nvcs = "git"\ntests.command = "x"\ntrunk = "file:///home/ann/src/hello.git/;next"')


def test_two_git_projects_of_one_repository_name_their_branches() -> None:
    again = '[project.again]\nvcs = "{}"\ntests.command = "x"\ntrunk = "~/src/hello.git"'
    assert refusal(HELLO + again.format("git")) == [
        'byoci.toml:13: project.again.trunk may be the trunk of project "hello": name the ;BRANCH of both'
    ]
    config(HELLO.replace("git", "bzr") + again.format("bzr").replace("git", "bzr"))


def test_control_characters_of_the_file_never_reach_the_terminal() -> None:
    told = refusal(SITE + '"\\u001b[31mred" = 1\n[project."\\u202ex"]')
    assert not any("\x1b" in line or "\u202e" in line for line in told)
    assert any("\\x1b[31mred" in line for line in told)


# --- files that are no configuration ---


@pytest.mark.parametrize(
    ("raw", "details"),
    [
        (b"a = \n", "byoci.toml:1:5: Invalid value"),
        (b"\n\n[site\n", "byoci.toml:3:6: Expected ']'"),
        (b"a = 1\na = 2\n", "byoci.toml:2:6: Cannot overwrite a value"),
        (b"x = '\xff'", "byoci.toml:1: the byte 0xff is no part of UTF-8"),
        (b"\n\na = '\xe4'", "byoci.toml:3: the byte 0xe4"),
        (b"a = " + b"9" * 5000, "byoci.toml"),
        (b"a = " + b"[" * 5000 + b"]" * 5000, "byoci.toml"),
        (b"a = " + b"{a=" * 5000 + b"1" + b"}" * 5000, "byoci.toml"),
        (b"a" + b".a" * 290 + b" = 1", "more than 20 levels"),
        (b"a" + b".a" * 300_000 + b" = 1", "a line has more than 300 dots"),
        (b"a = " + b"[" * 50 + b"]" * 50, "more than 20 levels"),
        (b"namespace = 3", "namespace must be a table"),
        (b"namespace.production = 3", "namespace must be a table"),
        (b"byoci.tests.command = make check", "now it is project.NAME.tests.command"),
        (b"[byoci]\nlanding.fullname = Some Body", "now it is site.landing.fullname"),
        (b"\x00", "byoci.toml:1:1"),
    ],
)
def test_no_toml(raw: bytes, details: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(raw, Path("/etc/site/byoci.toml"))
    assert details in caught.value.details
    assert caught.value.__cause__ is not None or b"a." in raw or b"[[" in raw or b"name" in raw


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse(b"\xef\xbb\xbfa = 1", Path("x")).base == {"a": 1}


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    big = tmp_path / "big"
    big.write_bytes(b"#" * (1024 * 1024 + 1))
    for path, told in [
        (tmp_path, "regular file"),
        (fifo, "regular file"),
        (Path("/dev/zero"), "regular file"),
        (big, "larger than 1048576 bytes"),
        (tmp_path / "none", "No such file"),
        (big / "x", "Not a directory"),
        (Path("a\0b"), "embedded null"),
    ]:
        with pytest.raises(ConfigError) as caught:
            load(path, environ=ENVIRON)
        assert told in caught.value.brief


# --- namespaces ---

LAYERED = (
    HELLO
    + """
tests.environment = { A = "1", B = "2" }
approve.trusted = ["ann", "bob"]

[namespace.production.site]
landing.email = "real@example.com"
[namespace.production.project.hello]
tests.environment = { B = "3" }
approve.trusted = ["carl"]
"""
)


def test_an_overlay_wins_tables_merge_and_lists_are_replaced() -> None:
    testing, production = config(LAYERED), config(LAYERED, "production")
    assert testing.site.landing.email == "bot@example.com"
    assert production.site.landing.email == "real@example.com"
    assert production.site.landing.fullname == "Landing Bot"
    assert production.project("hello").tests.environment == {"A": "1", "B": "3"}
    assert production.project("hello").approve.trusted == ("carl",)
    assert production.state == Path("/home/ann/.byoci/production")


def test_what_production_alone_adds_may_be_missing_in_testing_only_where_testing_is_used() -> None:
    text = "[namespace.production]\n" + SITE.replace("[site]", "[namespace.production.site]")
    assert config(text, "production").site.landing.fullname == "Landing Bot"
    assert refusal(text, "testing")[0] == "byoci.toml: site.landing.email is missing"


def test_a_broken_line_of_a_section_is_not_taken_for_an_older_one() -> None:
    with pytest.raises(ConfigError) as caught:
        config('[site]\nlanding.fullname = "Bot\n')
    assert "older byoci" not in caught.value.details
    with pytest.raises(ConfigError) as caught:
        config("landing.fullname = Bot\n")
    assert "now it is site.landing.fullname" in caught.value.details


def test_an_unknown_namespace() -> None:
    with pytest.raises(ConfigError, match='no such namespace: there is no "prod"; did you mean "production"'):
        config(HELLO, "prod")


TABLES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
).filter(lambda value: isinstance(value, dict))


@given(TABLES, TABLES)
def test_overlay_law(base: dict[str, object], over: dict[str, object]) -> None:
    merged = overlay(base, over)
    assert set(merged) == set(base) | set(over)
    for key, value in merged.items():
        if key not in over:
            assert value == base[key]
        elif isinstance(over[key], dict) and isinstance(base.get(key), dict):
            assert value == overlay(base[key], over[key])  # type: ignore[arg-type]
        else:
            assert value == over[key]
    assert overlay(merged, over) == merged
    assert overlay(base, {}) == base
    assert overlay({}, over) == over


# --- hostile and random input never crashes ---

KEYS = st.text(min_size=1, max_size=20) | st.sampled_from(
    ["site", "project", "hello", "tests", "command", "worker", "forge", "local", "vcs", "rewrite", "namespace", "image"]
)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4))
def test_random_tables_give_a_configuration_or_a_config_error(tables: dict[str, object]) -> None:
    base = {key: value for key, value in tables.items() if key != "namespace"}
    source = parse(b"", Path("/x/byoci.toml"))
    try:
        check(type(source)(source.path, base, {"production": base}, {}), "testing", ENVIRON)
    except ConfigError as error:
        assert error.details.startswith("/x/byoci.toml")  # noqa: PT017
        assert "pydantic" not in str(error)  # noqa: PT017


@given(
    st.sampled_from(["", "site.", "project.hello.", "worker.x.", "namespace.production.team.t."]), st.text(min_size=1)
)
def test_any_unknown_key_is_refused_by_name(prefix: str, key: str) -> None:
    known = {"site", "project", "worker", "image", "team", "forge", "vcs", "landing", "tests", "setup", "approve"}
    known |= {"trunk", "backend", "memory", "processes", "time", "output", "disk", "members", "namespace"}
    if key in known:
        return
    quoted = "".join(f"\\U{ord(letter):08x}" for letter in key)
    told = refusal(f'{prefix}"{quoted}" = 1\n')
    assert any(line.startswith("byoci.toml:1: ") for line in told)


# --- where the file is found ---


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A file in every place that is searched, each with another fullname, and the environment that makes it so."""
    folders = {name: tmp_path / name for name in ("named", "variable", "work", "user", "system")}
    files = {
        "named": folders["named"] / "a.toml",
        "variable": folders["variable"] / "b.toml",
        "work": folders["work"] / "byoci.toml",
        "user": folders["user"] / "byoci/byoci.toml",
        "system": folders["system"] / "byoci/byoci.toml",
    }
    for name, path in files.items():
        path.parent.mkdir(parents=True)
        path.write_text(SITE.replace("Landing Bot", name))
        path.chmod(0o644)
    monkeypatch.chdir(folders["work"])
    return files


def test_the_first_file_that_is_found_counts(places: dict[str, Path], tmp_path: Path) -> None:
    environ = {
        "HOME": str(tmp_path),
        "BYOCI_CONFIG": str(places["variable"]),
        "XDG_CONFIG_HOME": str(tmp_path / "user"),
        "XDG_CONFIG_DIRS": f"relative:{tmp_path / 'system'}",
    }
    assert load(places["named"], environ=environ).site.landing.fullname == "named"
    for name in ("variable", "work", "user", "system"):
        loaded = load(environ=environ)
        assert loaded.site.landing.fullname == name
        assert loaded.path == places[name]
        places[name].unlink()
        environ.pop("BYOCI_CONFIG", None)
    with pytest.raises(ConfigError, match="there is no configuration yet") as caught:
        load(environ=environ)
    assert "byoci init" in caught.value.resolution
    assert str(places["user"]) in caught.value.details


def test_the_environment_names_the_state_folder(places: dict[str, Path], tmp_path: Path) -> None:
    for chosen, home in [("/srv/byoci", Path("/srv/byoci")), ("~/x", tmp_path / "x"), ("", tmp_path / ".byoci")]:
        assert load(environ={"HOME": str(tmp_path), "BYOCI_HOME": chosen}).home == home
    assert load(environ={"HOME": str(tmp_path), "BYOCI_HOME": "rel"}).home == tmp_path / "work/rel"


def test_a_missing_file_that_was_named_is_an_error_although_others_are_there(places: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(environ={"HOME": "/nowhere", "BYOCI_CONFIG": "gone.toml"})


def test_a_file_of_the_working_folder_that_others_can_write_is_not_used(places: dict[str, Path]) -> None:
    places["work"].chmod(0o646)
    with pytest.raises(ConfigError, match="can be written by other users") as caught:
        load(environ=ENVIRON)
    assert "--config byoci.toml" in caught.value.resolution
    assert load(Path("byoci.toml"), environ=ENVIRON).site.landing.fullname == "work"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_strangers_file_of_the_working_folder_is_not_used(places: dict[str, Path]) -> None:
    try:
        os.chown(places["work"], 12345, 12345)
    except OSError:
        pytest.skip("this user namespace has no other user")
    with pytest.raises(ConfigError, match="belongs to another user"):
        load(environ=ENVIRON)
    os.chown(places["work"], 0, 0)
    target = places["work"].rename(places["work"].with_name("other.toml"))
    places["work"].symlink_to(target)
    assert load(environ=ENVIRON).site.landing.fullname == "work"
    os.chown(places["work"], 12345, 12345, follow_symlinks=False)
    with pytest.raises(ConfigError, match="belongs to another user"):
        load(environ=ENVIRON)


# --- finding projects ---


def test_an_unknown_project_gets_the_nearest_name() -> None:
    loaded = config(HELLO)
    with pytest.raises(ConfigError, match=r'no project of that name: there is no "helo"; did you mean "hello"\?'):
        loaded.project("helo")
    with pytest.raises(ConfigError, match='known: "hello"'):
        loaded.project("zzz")
    with pytest.raises(ConfigError, match=r'there is no "zzz"\n'):
        config(SITE).project("zzz")


def test_the_project_of_a_trunk_is_found_by_any_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "src/hello.git"
    repository.mkdir(parents=True)
    (tmp_path / "link").symlink_to(repository)
    monkeypatch.chdir(tmp_path)
    text = HELLO + '[project.far]\nvcs = "git"\ntests.command = "x"\ntrunk = "https://Git.example.com/a/"\n'
    loaded = config(text, environ={"HOME": str(tmp_path)})

    def name(trunk: str) -> str | None:
        project = loaded.project_of_trunk(trunk)
        return project.name if project else None

    for spelling in ("~/src/hello.git", f"{repository}/", "src/hello.git", "./link", f"file://{repository}"):
        assert name(spelling) == name(spelling + ";main") == "hello"
        assert name(spelling + ";other") is None
    assert name(f"file://localhost{tmp_path}/src/hell%6f.git/") == "hello"
    assert name("HTTPS://git.example.com/a") == name("https://git.example.com/a///") == "far"
    assert name("https://git.example.com/A") is None
    assert name("") is name("\n") is name("-x") is name("nowhere") is None


# --- origins ---


def test_every_value_knows_its_origin() -> None:
    found = {origin.key: (origin.value, origin.origin) for origin in config(LAYERED, "production").origins()}
    at = "/etc/site/byoci.toml:"
    assert found["site.landing.fullname"] == ("Landing Bot", at + "3")
    assert found["site.landing.email"] == ("real@example.com", at + "15 (namespace production)")
    assert found["site.landing.attempts"] == (3, "default")
    assert found["project.hello.trunk"] == ("/home/ann/src/hello.git;main", at + "8")
    assert found["project.hello.tests.command"] == (["make check"], at + "9")
    assert found["project.hello.tests.environment.A"] == ("1", at + "11")
    assert found["project.hello.tests.environment.B"] == ("3", at + "17 (namespace production)")
    assert found["project.hello.approve.trusted"] == (["carl"], at + "18 (namespace production)")
    assert found["worker.default.memory"] == ("2G", "default")
    assert found["worker.default.time"] == ("1h", "default")
    assert found["forge.local.path"] == (None, "default")


def test_secrets_are_masked_in_origins() -> None:
    text = HELLO + (
        'tests.environment = { GITHUB_TOKEN = "abc", DB_PASSWORD = "def", PLAIN = "https://u:ghi@h/" }\n'
        '[vcs.rewrite]\n"https://u:jkl@x/" = "https://mnomnomnomnomnomnomno@y/"\n'
    )
    shown = repr(config(text).origins())
    for secret in ("abc", "def", "ghi", "jkl", "mno"):
        assert f"'{secret}'" not in shown
        assert f"{secret}@" not in shown
    assert "https://u:********@h/" in shown
