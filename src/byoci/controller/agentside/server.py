"""The agent's end of a connection: answers one controller on its standard input and output, and ends with it.

A message is a line of JSON; where it has `bytes`, so many raw bytes follow. The first line that it writes is
`READY`, whatever a login shell printed before that. A request says in `do` which of the methods `do_…` of `Server` it
means; what these tell:

- of a build's log, from an offset on: `{"build": NAME, "log": OFFSET, "bytes": N}`, as often as there is more of it,
  and last `{"build": NAME, "ended": STATUS}`;
- what it asks for: `{"build": NAME, "ask": {"trigger": NUMBER, "variables": {...}, "texts": {...}}}`;
- of its files: `{"build": NAME, "file": PATH, "bytes": N}`, several for a large one, and last
  `{"build": NAME, "fetched": true}`;
- where something failed, `{"build": NAME, "error": TEXT}`.

A status is as `build` writes it; `{"lost": REASON}` where the supervisor is gone without having told an end.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import select
import shutil
import signal
import sys
import time

from byoci.controller.agentside.files import empty, open_inside, sweep
from byoci.controller.agentside.record import MORE, boot_id, note_stop, start_of, write_json
from byoci.controller.agentside.supervisors import Supervisors

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from typing import Any

READY = "byoci agent 1"
_CHUNK = 1 << 18
_STARTING = 30.0  # seconds after which a build without a status was never begun
_LOOK = 1.0  # seconds between looks at whether supervisors are alive
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Followed:
    """A build whose log is being told."""

    def __init__(self, folder: str, offset: int) -> None:
        self.folder = folder
        self.offset = offset
        self.wake = os.open(f"{folder}/wake", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.log = -1
        self._asked = 0

    def ask(self) -> dict[str, Any] | None:
        """What the build wants to have started, once for each time that it was written."""
        try:
            with open(f"{self.folder}/ask") as file:
                written = os.fstat(file.fileno()).st_ino
                if written == self._asked:
                    return None
                self._asked = written
                asked: dict[str, Any] = json.load(file)
                return asked
        except FileNotFoundError:
            return None

    def read(self) -> bytes:
        """What the log has beyond what was told, as far as a message goes."""
        if self.log < 0:
            try:
                self.log = os.open(f"{self.folder}/log", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        data = os.pread(self.log, _CHUNK, self.offset)
        self.offset += len(data)
        return data

    def status(self) -> dict[str, Any] | None:
        """How it ended; None while it runs."""
        try:
            with open(f"{self.folder}/status") as file:
                status: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            waited = time.time() - os.stat(self.folder).st_mtime
            return {"lost": "its supervisor did not start"} if waited > _STARTING else None
        if "result" in status or "error" in status:
            return status
        if status["boot"] != boot_id():
            return {"lost": "the agent was restarted"}
        if start_of(status["pid"]) != status["start"]:
            with open(f"{self.folder}/status") as file:  # it may have ended since
                status = json.load(file)
            return status if "result" in status or "error" in status else {"lost": "the supervisor was killed"}
        return None

    def close(self) -> None:
        """Stop following."""
        for descriptor in (self.wake, self.log):
            if descriptor >= 0:
                os.close(descriptor)


class Server:
    """See the module. `root` is the folder of all builds on this agent."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._followed: dict[str, Followed] = {}
        self._supervisors = Supervisors()
        self._received = b""
        self._sending = bytearray()
        os.makedirs(root, mode=0o700, exist_ok=True)

    def serve(self) -> None:
        """Answer until the other end is closed."""
        self._sending += f"\n{READY}\n".encode()
        looked = 0.0
        while True:
            self._flush()
            wakes = {followed.wake: name for name, followed in self._followed.items()}
            ready, _, _ = select.select([0, *wakes], [], [], _LOOK)
            told = {wakes[wake]: _read(wake) for wake in ready if wake}
            if 0 in ready and not self._receive():
                return
            if time.monotonic() >= looked + _LOOK:  # of a supervisor that was killed nobody may tell
                looked = time.monotonic()
                told = dict.fromkeys(self._followed, b"")
            for name in told.keys() & self._followed.keys():
                self._tell(name, more=not told[name] or MORE in told[name])

    def _receive(self) -> bool:
        data = os.read(0, 1 << 20)
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            request = json.loads(line)
            answer = getattr(self, f"do_{request.pop('do')}")
            try:
                answer(**request)
            except OSError as error:
                self._send({**{key: request[key] for key in ("build",) if key in request}, "error": str(error)})
        return bool(data)

    def _folder(self, build: str) -> str:
        if not _NAME.fullmatch(build) or build.startswith("."):
            raise OSError(f"{build[:100]!r} cannot be a build's name")
        return f"{self._root}/{build}"

    def do_start(self, build: str, plan: Any, offset: int = 0) -> None:
        """Start a build whose folder is not there, and follow it."""
        folder = self._folder(build)
        if os.path.isdir(folder):
            self.do_follow(build, offset)
            return
        new = f"{folder}.new"
        shutil.rmtree(new, ignore_errors=True)
        os.mkdir(new, 0o700)
        os.mkfifo(f"{new}/wake", 0o600)
        os.rename(new, folder)
        self._followed[build] = Followed(folder, offset)
        self._supervisors.start(folder, plan)

    def do_follow(self, build: str, offset: int = 0) -> None:
        """Tell a build's log and end."""
        if build in self._followed:
            self._followed.pop(build).close()
        folder = self._folder(build)
        if os.path.isdir(folder):
            self._followed[build] = Followed(folder, offset)
            self._tell(build)
        else:
            self._send({"build": build, "ended": {"lost": "the agent does not know it"}})

    def do_abort(self, build: str) -> None:
        """Ask the supervisor to end its build; one that has yet to begin finds a note of it."""
        note_stop(self._folder(build))
        self._signal(build, signal.SIGTERM)

    def do_answer(self, build: str, trigger: int, answer: dict[str, Any]) -> None:
        """Tell the supervisor what became of what it asked for."""
        with contextlib.suppress(FileNotFoundError):
            write_json(f"{self._folder(build)}/answer-{int(trigger)}", answer)
            self._signal(build, signal.SIGUSR1)

    def _signal(self, build: str, number: int) -> None:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"{self._folder(build)}/status") as file:
                status = json.load(file)
            if status["boot"] == boot_id() and start_of(status["pid"]) == status["start"]:
                os.kill(status["pid"], number)

    def do_fetch(self, build: str) -> None:
        """Send what was kept of a build."""
        kept = f"{self._folder(build)}/files"
        for root, _, names in os.walk(kept):
            for name in sorted(names):
                path = os.path.relpath(os.path.join(root, name), kept)
                try:
                    descriptor = open_inside(kept, path)
                except OSError:  # the build itself put a link or a pipe there
                    continue
                with open(descriptor, "rb") as file:
                    data = file.read(_CHUNK)
                    while True:
                        self._send({"build": build, "file": path}, data)
                        data = file.read(_CHUNK)
                        if not data:
                            break
        self._send({"build": build, "fetched": True})

    def do_forget(self, build: str) -> None:
        """Remove what is kept of a build."""
        if build in self._followed:
            self._followed.pop(build).close()
        self._supervisors.ended(self._folder(build), {})
        shutil.rmtree(self._folder(build), ignore_errors=True)

    def do_wipe(self, path: str, **wish: Any) -> None:
        """Empty a folder, or remove what `sweep` is asked for."""
        self._send({"wiped": path, "left": (sweep(path, **wish) if wish else empty(path))[:20]})

    def do_ping(self, number: int) -> None:
        """Answer."""
        self._send({"pong": number})

    def _tell(self, build: str, *, more: bool = True) -> None:
        """Send what is new of a build: of its log, and where there may be `more`, its end and what it asks for."""
        followed = self._followed[build]
        # Before the log: what was written before the end is read after it is known.
        status = followed.status() if more else None
        while True:
            offset = followed.offset
            data = followed.read()
            if not data:
                break
            self._send({"build": build, "log": offset}, data)
        ask = followed.ask() if more and status is None else None
        if ask is not None and not os.path.exists(f"{followed.folder}/answer-{ask['trigger']}"):
            self._send({"build": build, "ask": ask})
        if status is not None:
            self._followed.pop(build).close()
            self._supervisors.ended(followed.folder, status)
            self._send({"build": build, "ended": status})

    def _send(self, message: dict[str, Any], data: bytes | None = None) -> None:
        if data is not None:
            message["bytes"] = len(data)
        self._sending += json.dumps(message).encode() + b"\n" + (data or b"")
        if len(self._sending) >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        """What was sent is on its way."""
        data, self._sending = self._sending, bytearray()
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]


def _read(wake: int) -> bytes:
    """What was written into it; nothing where nobody holds it any more, or somebody else read it."""
    try:
        return os.read(wake, 1 << 16)
    except BlockingIOError:
        return b""


def main(root: str) -> None:
    """Serve the controller on standard input and output; `~` is the home folder."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()  # a supervisor is a fork: what it does not touch, it need not copy
    with contextlib.suppress(BrokenPipeError):  # nobody reads any more
        Server(os.path.abspath(os.path.expanduser(root))).serve()
    sys.exit(0)
