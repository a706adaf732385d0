"""git, closed off: a private bare repository, and a program that reads nobody's configuration, attributes or hooks."""

from __future__ import annotations

import base64
import os
import re
import resource
import shlex
import subprocess
from functools import cached_property
from typing import TYPE_CHECKING, Final

from byoci import effects, proc
from byoci.errors import ProgramError, ProgramMissingError, UnavailableError, UnreachableError, of_full_disk
from byoci.vcs.scratch import discard, reap, scratch
from byoci.vcs.urls import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from byoci.vcs.urls import Url

OLDEST: Final = (2, 38)  # the first with `merge-tree --write-tree`
LOCAL_SECONDS: Final = 900.0  # what a command within the private repository may take; a merge of huge trees is slow
REMOTE_SECONDS: Final = 1800.0  # what a transfer may take
ASK_SECONDS: Final = 120.0  # what the answer to a question may take
STRANGERS: Final = {resource.RLIMIT_DATA: 2 * 1024**3, resource.RLIMIT_FSIZE: 16 * 1024**3}  # for what a source sends
REMOTE_BYTES: Final = 32 * 1024**2  # what a command may write about a server, which a stranger's may fill at will

# The empty tree's id by the length of an object id (SHA-1, SHA-256); git knows both without having them stored.
_EMPTY_TREE: Final = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}

# All that could change a merge's result, run a program or open another place, whatever a later git's default is.
_PINNED: Final = {
    "core.attributesFile": "/dev/null",
    "core.bigFileThreshold": "512m",
    "core.filesRefLockTimeout": "5000",  # a fetch or push that its lander did not outlive may be at the end of its work
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.useReplaceRefs": "false",
    "core.warnAmbiguousRefs": "false",
    "advice.fetchShowForcedUpdates": "false",
    "color.ui": "never",
    "diff.algorithm": "histogram",
    "diff.indentHeuristic": "true",
    "diff.renameLimit": "7000",
    "diff.renames": "true",
    "fetch.fsckObjects": "false",
    "fetch.parallel": "1",
    "fetch.prune": "false",
    "fetch.recurseSubmodules": "no",
    "fetch.unpackLimit": "1",  # always a pack, which is stored only when all of it was checked
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "120",
    "i18n.commitEncoding": "UTF-8",
    "i18n.logOutputEncoding": "UTF-8",
    "log.mailmap": "false",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "merge.conflictStyle": "merge",
    "merge.directoryRenames": "conflict",
    "merge.renameLimit": "7000",
    "merge.renames": "true",
    "merge.renormalize": "false",
    "push.followTags": "false",
    "push.gpgSign": "false",
    "push.negotiate": "false",
    "push.recurseSubmodules": "no",
    "push.useForceIfIncludes": "false",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.fsckObjects": "false",
}

# What a command that speaks with a remote gets of the caller's environment: his ssh agent, the way to the network.
_FOR_REMOTES: Final = (
    "SSH_AUTH_SOCK", "http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

# The names that git itself gives to the schemes of a URL policy.
_PROTOCOL: Final = {"git+ssh": "ssh"}

_VERSION = effects.declare("git.version", "`git version` is started", half=effects.READ_ONLY)
_CREATE = effects.declare(
    "git.create",
    "the private repository, by a rename",
    half="It is made anew; what is unfinished is removed.",
    done="It is used.",
)
_HOME = effects.declare("git.home", "an empty home folder for git", done="It is used.")


_CHECK = effects.declare(
    "git.check", "`git fsck` looks through the private repository, once a boot", half=effects.READ_ONLY
)
_DAMAGED = effects.declare(
    "git.discard-damaged",
    "a private repository that a power failure damaged is removed",
    half="The rest is removed.",
    done="It is made anew.",
)
_ID: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def exempt_from_checks(private: Path) -> Path:
    """The file that lists trunk's old objects which break git's rules, an id a line."""
    return private / "fsck-exempt"


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of what `git version` says, for example (2, 39, 5)."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, match[0].split("."))) if match else ()


class Git:
    """The program git over one private bare repository, which is made when it is first needed.

    private     holds the repository (`objects.git`), an empty home folder and what the checks remember
    ssh_config  for ssh instead of the user's own: keys and pinned host keys of a site
    """

    def __init__(self, private: Path, ssh_config: Path | None = None) -> None:
        self.private = private
        self.repository = private / "objects.git"
        self.unfinished = private / "work"
        self._ssh_config = ssh_config

    @cached_property
    def tool(self) -> str:
        """The version that candidates name, for example "git 2.39.5"; `ProgramMissingError` where it is too old."""
        with _VERSION:
            said = proc.run(["git", "version"], env=proc.base_environment(), timeout=LOCAL_SECONDS).text
        version = version_of(said)
        if version < OLDEST:
            raise ProgramMissingError(
                f"git {OLDEST[0]}.{OLDEST[1]} or newer is needed to merge in memory",
                details=f"Installed is: {said}",
                resolution="Install a newer git, from your distribution's backports for example.",
            )
        return "git " + ".".join(map(str, version))

    def exists(self) -> bool:
        """Whether the private repository has been made."""
        return (self.repository / "HEAD").exists()

    def tidy(self) -> None:
        """Remove what killed runs left: scratch folders, packs that are not whole, locks of our own refs."""
        packs, refs = self.repository / "objects" / "pack", self.repository / "refs" / "byoci"
        reap(self.unfinished, *packs.glob("tmp_*"), *packs.glob(".tmp-*"), *refs.glob("*/*.lock"))

    def discard_damaged(self) -> None:
        """Remove the private repository where not all is in order: git syncs its packs, and nothing else of it."""
        if self.repository.exists() and not self._in_order():
            with _DAMAGED:
                exempt_from_checks(self.private).unlink(missing_ok=True)
                discard(self.repository, self.unfinished)

    def _in_order(self) -> bool:
        """Whether refs, single objects and all that they need are there and whole; packs are not read."""
        exempt = exempt_from_checks(self.private)
        lines = exempt.read_text("ascii", "replace").split("\n") if exempt.exists() else [""]
        if lines.pop() or not all(_ID.fullmatch(line) for line in lines):
            return False
        with _CHECK:
            return self.run(["fsck", "--no-full", "--no-dangling", "--no-progress"], ok=None).status == 0

    @_CREATE
    def create(self, id_length: int) -> None:
        """Make the private repository, whole or not at all, for object ids of this many digits."""
        kind = "sha256" if id_length == 64 else "sha1"
        try:
            with scratch(self.unfinished) as made:
                # HEAD stays unborn: some versions read attributes from it.
                self.run(
                    ["init", "--quiet", "--bare", "--template=", f"--object-format={kind}", "--initial-branch=unborn"],
                    env={"GIT_DIR": str(made)},
                )
                made.rename(self.repository)
        except OSError:
            if not self.exists():  # otherwise another process was faster, with the same result
                raise
        finally:
            self.__dict__.pop("_environment", None)  # it knows the empty tree's id, which follows from the kind

    @cached_property
    def _environment(self) -> dict[str, str]:
        _ = self.tool
        home = self.private / "home"
        if not home.is_dir():
            with _HOME:
                home.mkdir(parents=True, exist_ok=True)
        sha256 = self.exists() and "sha256" in (self.repository / "config").read_text()
        return {
            **proc.base_environment(),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "GIT_DIR": str(self.repository),
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ATTR_SOURCE": _EMPTY_TREE[64 if sha256 else 40],
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DEFAULT_REF_FORMAT": "files",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def environment(
        self, extra: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The whole environment of a git process: closed off, with `config` laid over what is pinned."""
        pairs = {**_PINNED, **(config or {})}
        counted = {"GIT_CONFIG_COUNT": str(len(pairs))}
        for number, (key, value) in enumerate(pairs.items()):
            counted[f"GIT_CONFIG_KEY_{number}"] = key
            counted[f"GIT_CONFIG_VALUE_{number}"] = value
        return {**self._environment, **counted, **(extra or {})}

    def run(
        self,
        args: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        ok: Sequence[int] | None = (0,),
    ) -> proc.Result:
        """Run git in the private repository; see `proc.run`."""
        environment = self.environment(env, config)
        return _checked(proc.run(["git", *args], env=environment, stdin=stdin, ok=None, timeout=LOCAL_SECONDS), ok)

    def run_on_strangers(
        self, args: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = LOCAL_SECONDS
    ) -> proc.Result:
        """Run git in the private repository on objects that a source sent; any exit code is returned."""
        return _checked(
            proc.run_bounded(
                ["git", *args], env=self.environment(env), timeout=timeout, most=REMOTE_BYTES, limits=STRANGERS
            )
        )

    def start(self, args: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start git in the private repository; the caller reads its output and ends it with `proc.kill`."""
        return proc.start(["git", *args], env=self.environment(), stdin=stdin, stderr=subprocess.DEVNULL)

    def run_remote(
        self,
        place: Url,
        args: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        timeout: float = REMOTE_SECONDS,
        limits: Mapping[int, int] | None = None,
    ) -> proc.Result:
        """Run a git command that speaks with `place`, by that place's protocol only; any exit code is returned."""
        settings = {**(config or {}), **_authorization(place)}
        environment = self.environment({**self._remote_environment(place), **(env or {})}, settings)
        try:
            told = proc.run_bounded(["git", *args], env=environment, timeout=timeout, most=REMOTE_BYTES, limits=limits)
        except UnavailableError as error:
            raise unreachable(place, str(error)) from error
        return _checked(told)

    def _remote_environment(self, place: Url) -> dict[str, str]:
        ssh = ["ssh", "-oBatchMode=yes", "-oForwardAgent=no", "-oConnectTimeout=30", "-oServerAliveInterval=30"]
        if self._ssh_config:
            ssh += ["-F", str(self._ssh_config)]
        protocol = _PROTOCOL.get(place.scheme, place.scheme)
        environment = {
            "GIT_ALLOW_PROTOCOL": "http:https" if protocol == "http" else protocol,  # a redirect may go to https
            "GIT_SSH_COMMAND": shlex.join(ssh),
            "GIT_SSH_VARIANT": "ssh",
        }
        return {**environment, **{name: os.environ[name] for name in _FOR_REMOTES if name in os.environ}}


def _authorization(place: Url) -> dict[str, str]:
    """An http(s) URL's login as a header in the environment: on a command line other users of the machine read it."""
    if not place.userinfo:
        return {}
    user, _, password = place.userinfo.partition(":")
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {
        f"http.{place.text}.extraHeader": f"Authorization: Basic {token}",
        "http.followRedirects": "false",  # git would show the header to wherever it is sent
    }


def _checked(result: proc.Result, ok: Sequence[int] | None = None) -> proc.Result:
    """The result. Raises `UnavailableError` for a full disk, and `ProgramError` for a status that is not `ok`."""
    if result.status != 0:
        stderr = result.stderr.decode("utf-8", "replace")
        if full := of_full_disk(said(stderr)):
            raise full
        if ok is not None and result.status not in ok:
            raise ProgramError(result.argv, result.status, stderr)
    return result


def said(stderr: str) -> str:
    """What a program told on standard error, made safe to show: no escape sequences, no credentials, not endless."""
    lines = [shown(line) for line in stderr.strip().splitlines()]
    return "\n".join(lines[-20:])[-4000:]


def unreachable(place: Url, stderr: str) -> UnreachableError:
    """That a repository could not be read, with git's own last words."""
    return UnreachableError(
        f"{place} could not be read",
        details=said(stderr),
        resolution="Check the URL, that its server answers, and that this agent's key may read it.",
    )
