"""breezy as a library without surprises: no plugin, no user configuration, no prompt, and branches only where allowed.

breezy keeps its settings in the process' environment and in module globals. `quiet` sets them for the time of one call
and puts the environment back afterwards.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import breezy
import breezy.branch
import breezy.bzr
import breezy.ui
from breezy import errors as bzr_errors
from breezy import urlutils
from breezy.bzr import BzrProber, RemoteBzrProber
from breezy.library_state import BzrLibraryState
from breezy.url_policy_open import BranchLoopError, BranchOpener, BranchOpenPolicy

from byoci import effects
from byoci.errors import ByociError, RejectedError, UnavailableError, UnreachableError, of_system
from byoci.log import printable
from byoci.vcs import bzr_locks, bzr_ssh, urls
from byoci.vcs.bzr_index import keep_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.model import Location
    from byoci.vcs.urls import UrlPolicy

_log = logging.getLogger(__name__)

LAUNCHPAD: Final = "bzr+ssh://bazaar.launchpad.net/"
_HOME = effects.declare("bzr.home", "an empty home folder for breezy", done="It is used.")
SILENCE: Final = 300.0  # seconds that a server may say nothing
_SCP: Final = re.compile(r"(?P<host>(?:[^/]*@)?(?:\[[^\]]+\]|[^:/]+)):(?P<path>.*)", re.DOTALL)


class _NobodyThere(breezy.ui.SilentUIFactory):  # type: ignore[misc]
    """breezy's voice: says nothing, and answers every question with no."""

    def get_password(self, _prompt: str = "", **_fields: object) -> None:
        """There is none."""

    def get_boolean(self, _prompt: str) -> bool:
        return False

    def confirm_action(self, _prompt: str, _confirmation_id: str, _prompt_kwargs: object) -> bool:
        return False


class _ToOurLog(logging.Handler):
    """What breezy would write to the terminal becomes a debug message of ours."""

    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("%s", record.getMessage())


def _initialise() -> None:
    """Once a process: the state that breezy's functions expect, without its log file, terminal and warning filters."""
    breezy.ui.ui_factory = _NobodyThere()
    breezy.branch.Branch._get_fallback_repository = _fallback  # noqa: SLF001 - no branch is stacked in another way
    bzr_locks.be_patient()
    if breezy._global_state is None:  # noqa: SLF001 - `initialize` would load what we do not want
        breezy._global_state = BzrLibraryState(ui=breezy.ui.ui_factory, trace=None)  # noqa: SLF001
    logger = logging.getLogger("brz")
    if not any(isinstance(handler, _ToOurLog) for handler in logger.handlers):
        logger.addHandler(_ToOurLog())
        logger.propagate = False


_borrowed: list[Any] = []


def borrow(repository: Any) -> Any:
    """A repository that was opened for this call of ours: `quiet` sees that its memory is free afterwards.

    In breezy 3.3 a repository and its cache of parents hold each other in a way that Python cannot see, so that every
    repository that was ever opened would stay, with all of its indices.
    """
    _borrowed.append(repository)
    return repository


def give_back() -> None:
    """Free the memory of all repositories that were borrowed, before the call's end; none of them may be used again."""
    while _borrowed:
        repository = _borrowed.pop()
        _borrowed.extend(repository._fallback_repositories)  # noqa: SLF001
        if real := getattr(repository, "_real_repository", None):
            _borrowed.append(real)
        repository._unstacked_provider = None  # noqa: SLF001


@contextmanager
def quiet(home: Path, ssh_config: Path | None) -> Iterator[None]:
    """Use breezy without anybody's configuration; `home` is an empty folder that stands for the user's."""
    _initialise()
    bzr_ssh.use(ssh_config)
    if not home.is_dir():
        with _HOME:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = dict(os.environ)
    timeout = socket.getdefaulttimeout()
    for name in [name for name in before if name.startswith(("BRZ_", "BZR_")) or name == "EMAIL"]:
        del os.environ[name]
    os.environ |= {"BRZ_HOME": str(home), "BRZ_PLUGIN_PATH": "-user:-site", "BRZ_SSH": bzr_ssh.VENDOR}
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        give_back()
        bzr_ssh.end()
        socket.setdefaulttimeout(timeout)
        for name in [name for name in os.environ if name not in before]:
            del os.environ[name]
        os.environ |= before


def place_of(location: Location, policy: UrlPolicy, rules: Mapping[str, str]) -> urls.Url:
    """Where a location is, as breezy can open it, after rewriting and if the policy allows it.

    `lp:` names become Launchpad's ssh URLs unless a rule says something else; `ssh://…` and `user@host:path` mean bzr
    there.
    """
    url = location.url.strip()
    if url.startswith("lp:") and urls.rewritten(url, rules) == url:
        url = launchpad(url)
    place = urls.admit(url, policy, rules)
    if place.local or "://" not in place.text:
        return place if place.local else urls.parse(_scp_as_url(place.text))
    if place.scheme == "ssh":
        return urls.parse(f"bzr+{place.text}")
    return place


def launchpad(name: str) -> str:
    """The URL of an `lp:` name. Launchpad's server finds the branch of a project or series itself (`+branch`)."""
    path = name.removeprefix("lp:").lstrip("/")
    return LAUNCHPAD + (path if path.startswith("~") else f"+branch/{path}")


def _scp_as_url(text: str) -> str:
    """`user@host:path` as bzr+ssh, a relative path from the home folder."""
    match = _SCP.fullmatch(text)
    host, path = (match["host"], match["path"]) if match else (text, "")
    tail = path if path.startswith("/") else f"/~/{path}"
    return f"bzr+ssh://{host}{urlutils.escape(tail)}"


class _Policy(BranchOpenPolicy):  # type: ignore[misc]
    """What a branch may point at (stacking, references, redirects): the schemes and paths that are allowed anyhow.

    An untrusted branch on a server cannot point into this machine, and one on this machine only at what its own owner
    has: both would hand out what the proposer could not read himself.
    """

    def __init__(self, place: urls.Url, policy: UrlPolicy, rules: Mapping[str, str], *, trusted: bool) -> None:
        self.first = as_breezy_url(place)
        self._place = place
        self._policy = policy
        self._rules = rules
        self._trusted = trusted

    def should_follow_references(self) -> bool:
        """They are followed where `check_one_url` allows."""
        return True

    def transform_fallback_location(self, _branch: Any, url: str) -> tuple[str, bool]:
        """As it is: breezy asks this for some branches only, and only while they are opened; see `_fallback`."""
        return url, False

    def followed(self, url: str) -> str:
        """`url` after `[vcs.rewrite]`, in the form that breezy opens; `RejectedError` where it is not allowed."""
        place = urls.admit(url, self._policy, self._rules)
        if place.local and not self._trusted:
            self._check_owner(place)
        return as_breezy_url(place)

    def check_one_url(self, url: str) -> None:
        """Raise `RejectedError` for a place that is not allowed."""
        if url != self.first:
            self.followed(url)

    def _check_owner(self, target: urls.Url) -> None:
        source = self._place.path
        if source is None:
            raise _refusal(self._place, target, "a branch on a server cannot refer to a path of this machine")
        with suppress(OSError):
            if _owner(source) == _owner(target.path or Path("/")):
                return
        raise _refusal(self._place, target, "it belongs to somebody else")


def _refusal(source: urls.Url, target: urls.Url, why: str) -> RejectedError:
    return RejectedError(
        f"{source} refers to {target}: {why}",
        details="A branch can be stacked on another one, or be a mere reference to it.",
        resolution="Propose a branch that holds its own history (brz reconfigure --unstacked, brz branch).",
    )


def _owner(path: Path) -> int:
    return (path / ".bzr").stat().st_uid


def as_breezy_url(place: urls.Url) -> str:
    """A place as breezy wants it told."""
    text: str = urlutils.local_path_to_url(str(place.path)) if place.path else urls.with_userinfo(place)
    return text


_openers: Final[list[Any]] = []


def _fallback(branch: Any, url: str, _possible_transports: object = None) -> Any:
    """The repository below that of a stacked branch, in breezy's place, however breezy comes to want it.

    breezy's own hook is not run for a branch that a smart server opens, nor for what is opened again later.
    """
    if not _openers:
        raise RejectedError(f"{urls.shown(branch.user_url)} is stacked on another branch, and nobody checked that")
    opener = _openers[-1]
    place = opener.policy.followed(urlutils.join(branch.base, url))
    return opener._open_dir(opener.check_and_follow_branch_reference(place)).open_branch().repository  # noqa: SLF001


@contextmanager
def _opener(policy: _Policy) -> Iterator[Any]:
    """Breezy's opener with checks, for bzr branches only, with references rewritten as every other URL is.

    A place that is opened twice, once to see whether it is a reference and once for good, is connected to once.
    """
    opener: Any = BranchOpener(policy, probers=[RemoteBzrProber, BzrProber])  # a smart server's own way first
    places: dict[str, Any] = {}
    open_place = opener._open_dir  # noqa: SLF001 - a subclass would need a hook of its own beside breezy's

    def open_once(url: str) -> Any:
        if url not in places:
            places[url] = open_place(url)
        return places[url]

    def follow_reference(url: str) -> str | None:
        reference = open_once(url).get_branch_reference()
        return None if reference is None else policy.followed(urlutils.join(url, reference))

    opener._open_dir = open_once  # noqa: SLF001
    opener.follow_reference = follow_reference
    _openers.append(opener)
    try:
        yield opener
    finally:
        _openers.remove(opener)
        for place in places.values():
            place.root_transport.disconnect()


@contextmanager
def opened(
    location: Location, policy: UrlPolicy, rules: Mapping[str, str], private: Path, *, trusted: bool = False
) -> Iterator[Any]:
    """The branch at `location`; for a checkout that is bound to another branch, that other branch.

    private  the folder that is worked in, which may be at fault too

    Raises `RejectedError` for what is not allowed, `UnreachableError` for whatever else goes wrong in the context.
    """
    place = place_of(location, policy, rules)
    checks = _Policy(place, policy, rules, trusted=trusted)
    if location.branch:
        checks.first = urlutils.join_segment_parameters(checks.first, {"branch": urlutils.escape(location.branch)})
    with unreachable(place, private), _opener(checks) as opener:
        branch = opener.open(checks.first)
        borrow(branch.repository)
        bound = branch.get_bound_location() if place.local else None  # a server's branches are nobody's checkouts
        if bound:
            checks.first = checks.followed(bound)
            branch = opener.open(checks.first)
            borrow(branch.repository)
        if trusted:
            keep_pages(branch.repository)
        yield branch


def _full_disk(error: BaseException) -> UnavailableError | None:
    """The error for a disk that is full, where that is behind what breezy raised."""
    seen: list[BaseException | None] = [error]
    for behind in seen:
        if isinstance(behind, OSError) and behind.errno in (errno.ENOSPC, errno.EDQUOT):
            return of_system(behind)
        more = (getattr(behind, "orig_error", None), getattr(behind, "__cause__", None))
        seen += [other for other in more if isinstance(other, BaseException) and other not in seen]
    return None


@contextmanager
def explained(private: Path) -> Iterator[None]:
    """Turn what breezy raises while it works in the private folder into `UnavailableError`."""
    try:
        yield
    except (ByociError, MemoryError):
        raise
    except Exception as error:
        raise _full_disk(error) or UnavailableError(
            "bzr's part of byoci failed",
            details=printable(f"{type(error).__name__}: {error}"),
            resolution=f"Try again; if it stays so, remove {private}: it holds nothing that cannot be fetched again.",
        ) from error


@contextmanager
def unreachable(place: urls.Url, private: Path) -> Iterator[None]:
    """Turn what breezy raises while it reads a branch into `UnreachableError`.

    A hostile server or file can make a parser raise anything, so anything is caught.
    """
    try:
        yield
    except (ByociError, MemoryError):
        raise
    except BranchLoopError as error:
        raise RejectedError(f"{place} refers to itself", resolution="Propose a real branch.") from error
    except bzr_errors.NotBranchError as error:
        raise UnreachableError(
            f"there is no bzr branch at {place}", resolution="Check the URL, and that it is a branch, not its folder."
        ) from error
    except Exception as error:
        if full := _full_disk(error):
            raise full from error
        words = "\n".join(filter(None, (f"{type(error).__name__}: {error}", bzr_ssh.end())))
        raise UnreachableError(
            f"{place} cannot be read",
            details=urls.shown(words),
            resolution="Check that its server answers and lets this account read it, and try again. "
            f"If others can read it, remove {private}: it holds nothing that cannot be fetched again.",
        ) from error
