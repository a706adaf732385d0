"""Who may sign in on this machine: run by `byoci host update-agent-access`, as whoever sets the agent up.

It is a program of its own, for Python 3.9 and its library. The request is JSON on standard input; the answer, JSON too,
is the line after `MARK` on standard output. A request has

    user    whose authorized_keys they are; made, where one is root and there is no such user
    group   the group of developers, which a user that is made is in
    file    a path that takes the place of that user's authorized_keys, or null
    owner   the last word of the lines that are the site's; all others are people's own and stay byte for byte
    keys    the keys that shall be the site's: type and base64
    revoked keys that nobody shall have, also where a person's own line holds one; may be left out
    own     the path of the agent's own key for hosts of its workers, made where it is missing; or ""

The answer has `changed`, `own` (its public half), and `host_keys` (of the machine); or `error`.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import subprocess
import sys
import tempfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

MARK = "byoci access 1"
_OPTIONS = "restrict"  # no forwarding of anything, no terminal, no file of the user's that runs at the beginning
_HOST_KEYS = "/etc/ssh"
_ADMINISTRATION = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def with_keys(before: bytes, owner: str, keys: list[str], revoked: Sequence[str] = ()) -> bytes:
    """The text of authorized_keys with these keys as the owner's, and everybody else's lines as they were.

    Two owners may have lines in one file; whose lines are right already, wherever they stand, changes nothing.
    """
    mark = b" " + owner.encode()
    gone = {key.split()[1].encode() for key in revoked}
    wanted = [f"{_OPTIONS} {key}".encode() + mark + b"\n" for key in keys]
    ours, others = [], []
    for line in before.splitlines(keepends=True):
        if line.rstrip(b"\r\n").endswith(mark):
            ours.append(line)
        elif not gone & set(line.split()):
            others.append(line)
    if ours == wanted and len(others) + len(ours) == len(before.splitlines()):
        return before
    if others and not others[-1].endswith(b"\n"):
        others[-1] += b"\n"
    return b"".join(others + wanted)


def authorize(path: str, owner: str, keys: list[str], revoked: Sequence[str] = ()) -> bool:
    """Write that to the file, whole or not at all, and durably; whether it changed."""
    path = os.path.realpath(path)
    folder = os.path.dirname(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before, mode = b"", 0o600
        if os.path.exists(path):
            mode = os.stat(path).st_mode & 0o7777
            with open(path, "rb") as file:
                before = file.read()
        after = with_keys(before, owner, keys, revoked)
        if after == before:
            return False
        descriptor, draft = tempfile.mkstemp(prefix=".authorized_keys.", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(after)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
        os.fsync(lock)
    finally:
        os.close(lock)
    return True


def own_key(path: str) -> str:
    """The public half of the agent's own key; "" where it has no ssh-keygen to make one."""
    if not os.path.exists(f"{path}.pub"):
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        if os.path.exists(path):
            argv = ["sh", "-c", 'exec ssh-keygen -y -f "$1" >"$1.pub"', "sh", path]
        else:
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", os.path.basename(path), "-f", path]
        try:
            _run(argv)
        except FileNotFoundError:
            return ""
    with open(f"{path}.pub") as file:
        return " ".join(file.read().split()[:2])


def _run(argv: list[str]) -> None:
    run = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if run.returncode:
        raise OSError(f"{argv[0]} ended with status {run.returncode}: {run.stdout[-500:].decode('utf-8', 'replace')}")


def _user(name: str, group: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        if os.geteuid() != 0:
            raise OSError(f"there is no user {name}, and only root can make one") from None
    os.environ["PATH"] = _ADMINISTRATION
    _run(["groupadd", "--force", group])
    shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
    # With * nobody has its password; without it, the account is locked, and sshd lets nobody in where it has no PAM.
    _run(["useradd", "--create-home", "--user-group", "--groups", group, "--shell", shell, "--password", "*", name])
    return pwd.getpwnam(name)


def _at_home(user: pwd.struct_passwd, path: str) -> str:
    """`~` is that user's home; a relative path starts there."""
    return os.path.join(user.pw_dir, path.removeprefix("~/"))


def _host_keys() -> list[str]:
    found = []
    for name in sorted(os.listdir(_HOST_KEYS)) if os.path.isdir(_HOST_KEYS) else ():
        if name.startswith("ssh_host_") and name.endswith("_key.pub"):
            with open(os.path.join(_HOST_KEYS, name)) as file:
                found.append(" ".join(file.read().split()[:2]))
    return found


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked, as the user whom it concerns."""
    user = _user(request["user"], request["group"])
    os.umask(0o077)
    if user.pw_uid != os.geteuid():
        # What is in a user's home is the user's: root follows no link of his there.
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    file = request["file"] or "~/.ssh/authorized_keys"
    changed = authorize(_at_home(user, file), request["owner"], request["keys"], request.get("revoked", ()))
    own = own_key(_at_home(user, request["own"])) if request["own"] else ""
    return {"changed": changed, "own": own, "host_keys": _host_keys()}


def main(user: str, source: str) -> None:
    """Answer one request; who is neither root nor that user asks sudo, which must not ask back."""
    try:
        known = pwd.getpwnam(user).pw_uid
    except KeyError:
        known = 0
    if os.geteuid() not in (0, known):
        os.execvp("sudo", ["sudo", "-n", sys.executable, "-I", "-c", source, user])  # noqa: S606
    try:
        told = answer(json.load(sys.stdin))
    except OSError as error:
        told = {"error": str(error)}
    print(f"\n{MARK}\n{json.dumps(told)}", flush=True)  # noqa: T201 - a login shell's words may stand before it
