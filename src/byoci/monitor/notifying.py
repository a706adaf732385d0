"""Who is told the news, and how: by mail and by signed webhooks, again and again until it is taken, or is old news."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from byoci.errors import ByociError, UnavailableError
from byoci.monitor import news as words
from byoci.monitor.outbox import Tried
from byoci.web.mail import send

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from byoci.monitor.news import News
    from byoci.monitor.outbox import Outbox

_log = logging.getLogger(__name__)
_PATIENCE: Final = 10.0  # seconds for an answer
_FIRST: Final = 5.0  # seconds after which what failed is tried again; then twice as long each time
_LONGEST: Final = 3600.0
_OLD: Final = 3 * 86400.0  # seconds after which nobody wants to know any more
_TIDY: Final = 3600.0  # seconds between two times of tidying up
_PAUSE: Final = 1.0  # seconds between two looks for news


@dataclass(frozen=True, slots=True)
class Hook:
    """A program's address, and what the monitor signs with for it."""

    name: str
    url: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is to know of a project, and which kinds of news."""

    mail: tuple[str, ...] = ()
    hooks: tuple[Hook, ...] = ()
    kinds: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Way:
    """How a reader is told.

    tell      tells news of one kind. Errors: raises `ByociError`
    together  whether news of a trunk's state that are there at once are told at once: where a controller is away, all
              trunks are in trouble
    """

    name: str
    tell: Callable[[Sequence[News]], None]
    together: bool = False


class Notifier:
    """See the module. It belongs to the thread of its outbox.

    audience   project → who is to know; a project that is not in the definition any more has none
    dashboard  its address as people see it
    say        is told what cannot be told

    Order: a reader is told in the order of events, but for what he has refused before. Idempotence: whoever was
    told is noted right after; killed in between, he is told once more, with the same id.
    """

    def __init__(
        self, outbox: Outbox, audience: Callable[[str], Audience], dashboard: str, say: Callable[[str], None]
    ) -> None:
        self._outbox = outbox
        self._audience = audience
        self._dashboard = dashboard
        self._say = say
        self._rests: dict[str, tuple[int, float]] = {}  # of a reader: how often in vain, until when (monotonic)
        self._tidy_at = 0.0

    def work(self) -> None:
        """Tell what is to be told now."""
        if time.monotonic() >= self._tidy_at:
            self._outbox.tidy()
            self._tidy_at = time.monotonic() + _TIDY
        bundles: dict[tuple[str, str], tuple[_Way, list[tuple[News, Tried]]]] = {}
        for news in self._outbox.waiting():
            ways = self._ways(news)
            known = self._outbox.told(news) if ways else {}
            over = []
            for way in ways:
                tried = known.get(way.name, Tried())
                if self._is_due(way, tried):
                    if way.together and news.kind in (words.Kind.TROUBLE, words.Kind.WELL):
                        bundles.setdefault((way.name, news.kind), (way, []))[1].append((news, tried))
                    else:
                        tried = self._tell(way, [(news, tried)])
                over.append(tried.done)
            if all(over):
                self._outbox.settle(news)
        for way, bundle in bundles.values():
            if self._is_due(way, Tried()):
                self._tell(way, bundle)

    def _is_due(self, way: _Way, tried: Tried) -> bool:
        _, until = self._rests.get(way.name, (0, 0.0))
        return not tried.done and time.time() >= tried.again and time.monotonic() >= until

    def _tell(self, way: _Way, bundle: Sequence[tuple[News, Tried]]) -> Tried:
        """Tell one reader; what came of it, for the last of the news."""
        failures, _ = self._rests.get(way.name, (0, 0.0))
        after = Tried()
        try:
            way.tell([news for news, _ in bundle])
        except ByociError as error:
            self._rests[way.name] = failures + 1, time.monotonic() + _after(failures)
            for news, tried in bundle:
                old = time.time() > news.at + _OLD
                after = Tried(tried.tries + 1, time.time() + _after(tried.tries), old)
                self._outbox.note(news, way.name, after)
                if failures == 0 or old:
                    what = "is given up" if old else "is tried again"
                    self._say(f"{way.name} cannot be told that {news.project} {news.kind}, which {what}: {error.brief}")
            return after
        self._rests.pop(way.name, None)
        for news, tried in bundle:
            after = tried._replace(done=True)
            self._outbox.note(news, way.name, after)
        return after

    def _ways(self, news: News) -> list[_Way]:
        audience = self._audience(news.project)
        if news.kind not in audience.kinds:
            return []
        dashboard = self._dashboard
        mail = [
            _Way(f"mail {to}", lambda all_, to=to: send(words.mail(all_, to, dashboard)), together=True)  # type: ignore[misc]
            for to in audience.mail
        ]
        hooks = [
            _Way(f"webhook {hook.name}", lambda all_, hook=hook: _post_each(hook, all_, dashboard))  # type: ignore[misc]
            for hook in audience.hooks
        ]
        return [*mail, *hooks]


def _post_each(hook: Hook, all_: Sequence[News], dashboard: str) -> None:
    for news in all_:
        post(hook, news.id, words.body(news, dashboard))


def post(hook: Hook, id_: str, body: bytes) -> None:
    """Send a webhook, signed as the monitor wants its own signed. Raises `UnavailableError`, without its address."""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "byoci",
        "X-Delivery": id_,
        "X-Hub-Signature-256": f"sha256={hmac.new(hook.secret, body, hashlib.sha256).hexdigest()}",
    }
    opener = urllib.request.build_opener(_Stay)
    try:
        request = urllib.request.Request(hook.url, data=body, headers=headers)  # noqa: S310 - configured
        with opener.open(request, timeout=_PATIENCE):
            pass
    except urllib.error.HTTPError as error:
        error.close()
        raise UnavailableError(f"it answers {error.code}") from None
    except (OSError, ValueError, HTTPException) as error:
        raise UnavailableError(f"it does not answer: {type(error).__name__}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """What is signed for one address goes to no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _after(failures: int) -> float:
    return min(_FIRST * 2.0 ** min(failures, 20), _LONGEST)


class NotifyingThread(threading.Thread):
    """Tells the news until it is ended, which may be in the midst of telling some.

    opened  opens the outbox, and gives what closes it with it
    """

    def __init__(self, opened: Callable[[contextlib.ExitStack], Notifier]) -> None:
        super().__init__(name="notifier", daemon=True)
        self._opened = opened
        self._ending = threading.Event()

    def run(self) -> None:
        """Look for news, every second."""
        with contextlib.ExitStack() as ends:
            notifier = self._opened(ends)
            while not self._ending.wait(_PAUSE):
                try:
                    notifier.work()
                except Exception:  # noqa: BLE001 - a full disk, for example; what is not told yet is told later
                    _log.exception("the news cannot be told")

    def end(self) -> None:
        """Have it end."""
        self._ending.set()
