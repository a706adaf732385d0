"""Files on an agent: Ant's patterns, properties, removal and collection, none of which follows a link."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # the agent's side loads no more than it needs
    from collections.abc import Callable, Iterable, Iterator, Mapping

# What Ant leaves out by default: the files of version control and editors, and what is in folders of these names.
_FOLDERS = ("CVS", "SCCS", ".svn", ".git", ".hg", ".bzr")
_FILES = (
    ".cvsignore vssver.scc .DS_Store .gitattributes .gitignore .gitmodules .hgignore .hgsub .hgsubstate .hgtags",
    ".bzrignore *~ #*# .#* %*% ._*",
)
_DEFAULT_EXCLUDES = [f"**/{name}" for name in (*" ".join(_FILES).split(), *_FOLDERS)] + [
    f"**/{name}/**" for name in _FOLDERS
]
_LONGEST_PATH = 4096  # bytes, with the zero at its end: linux/limits.h
_VARIABLE = re.compile(r"\$(?:(\w+)|\{([\w.-]+)\})", re.ASCII)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}
_LINE = re.compile(r"((?:\\.|[^\\=:\s])*)\s*[=:]?\s*(.*)", re.DOTALL)


def _regex(pattern: str, numbers: Iterator[int]) -> str:
    """One for a path. Of several stars all but the last take as little as they can and never try again with more.

    That finds whatever more tries would find; and no pattern takes longer than what is at most quadratic.
    """
    pattern = pattern.strip().replace("\\", "/").lstrip("/")
    if pattern.endswith("/"):
        pattern += "**"
    runs: list[list[str]] = [[]]
    for word in pattern.split("/"):
        if word != "**":
            runs[-1].append(_segment(word, numbers))
        elif len(runs) == 1 or runs[-1]:
            runs.append([])
    first, *middle, last = runs if len(runs) > 1 else [*runs, []]
    if len(runs) == 1:
        return "/".join(first)
    between = "".join(_once("(?:[^/]+/)*?" + "/".join(run) + r"(?:/|\Z)", numbers) for run in middle)
    begin = "/".join(first)
    if last:
        return (f"{begin}/" if begin else "") + f"{between}(?:[^/]+/)*" + "/".join(last)
    return (f"{begin}/{between}.*" if middle else f"{begin}(?:/.*)?") if begin else f"{between}.*"


def _segment(word: str, numbers: Iterator[int]) -> str:
    """The part of an expression for one name."""
    pieces = [re.escape(piece).replace(r"\?", "[^/]") for piece in re.split(r"\*+", word)]
    if len(pieces) == 1:
        return pieces[0]
    return pieces[0] + "".join(_once("[^/]*?" + piece, numbers) for piece in pieces[1:-1]) + "[^/]*" + pieces[-1]


def _once(expression: str, numbers: Iterator[int]) -> str:
    """What matches as that does, and is not tried again: `(?>…)`, which Python has since 3.11."""
    name = f"g{next(numbers)}"
    return f"(?=(?P<{name}>{expression}))(?P={name})"


def _joined(patterns: Iterable[str]) -> re.Pattern[str]:
    numbers = iter(range(1 << 30))
    return re.compile("|".join(f"(?:{_regex(pattern, numbers)})" for pattern in patterns) or r"(?!)", re.DOTALL)


def matching(folder: str, includes: Iterable[str], excludes: Iterable[str]) -> list[str]:
    """Paths, relative to `folder`, of the regular files that one of `includes` matches and none of `excludes`."""
    wanted, unwanted = _joined(includes), _joined([*excludes, *_DEFAULT_EXCLUDES])
    return sorted(path for path in _regular(folder) if wanted.fullmatch(path) and not unwanted.fullmatch(path))


def _regular(folder: str) -> Iterator[str]:
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not os.path.islink(os.path.join(root, name))]
        for name in names:
            path = os.path.join(root, name)
            with contextlib.suppress(OSError):  # it is gone, or its path is too long
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield os.path.relpath(path, folder)


def open_inside(folder: str, path: str) -> int:
    """A descriptor of a regular file in `folder`; `OSError` where a part of the way is a link, or it is none."""
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        *folders, name = path.split("/")
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        # A pipe in its place must not make anybody wait.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(f"{path} is no file")
    return file


def collect(folder: str, paths: Iterable[str], target: str) -> None:
    """Copy files of `folder` below `target`; one that disappears meanwhile is left out."""
    for path in paths:
        place = os.path.join(target, path)
        if len(os.fsencode(place)) >= _LONGEST_PATH:
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            source = open_inside(folder, path)
        except OSError:
            continue
        with open(source, "rb") as reader, open(place, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)


def empty(folder: str) -> list[str]:
    """Remove everything in `folder`, which stays; gives the paths that could not be removed."""
    left: list[str] = []

    def unlock(call: object, path: str, error: object) -> None:
        del call, error
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)
        if os.path.lexists(path):
            left.append(path)

    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, onerror=unlock)
            else:
                try:
                    os.unlink(entry.path)
                except OSError:
                    unlock(None, entry.path, None)
    return left


def sweep(folder: str, includes: list[str], excludes: list[str], *, folders: bool, whole: bool) -> list[str]:
    """Remove the whole contents of `folder`, or what the patterns ask for; gives what could not be removed.

    folders  whether folders that match are removed with all that is in them, too
    """
    if whole:
        return empty(folder)
    wanted = _joined(includes or ["**"])
    unwanted = _joined(excludes)
    left = []
    for root, names, files in os.walk(folder, topdown=False):
        links = [name for name in names if os.path.islink(os.path.join(root, name))]
        kinds: list[tuple[Callable[[str], object], list[str]]] = [(os.unlink, files), (os.unlink, links)]
        if folders:
            kinds.append((_remove_folder, [name for name in names if name not in links]))
        for remove, found in kinds:
            for name in found:
                path = os.path.join(root, name)
                shown = os.path.relpath(path, folder)
                if wanted.fullmatch(shown) and not unwanted.fullmatch(shown):
                    try:
                        remove(path)
                    except OSError:
                        left.append(shown)
    return left


def _remove_folder(path: str) -> None:
    empty(path)
    os.rmdir(path)


def digest(folder: str, path: str) -> str:
    """MD5 of a file in `folder`, Jenkins' fingerprint; it tells files apart and protects nothing."""
    import hashlib  # which takes longer to load than all the rest

    found = hashlib.new("md5", usedforsecurity=False)
    with open(open_inside(folder, path), "rb") as file:
        while data := file.read(1 << 20):
            found.update(data)
    return found.hexdigest()


def read_properties(text: str) -> dict[str, str]:
    """Lines NAME=VALUE as Java's properties have them: comments, escapes, and a backslash at the end of a line."""
    joined = re.sub(r"(?<!\\)((?:\\\\)*)\\\r?\n[ \t]*", r"\1", text)
    found = {}
    # Java knows these ends of lines only; others are in names of branches, for example.
    for line in (line.lstrip(" \t\f") for line in re.split(r"\r\n?|\n", joined)):
        match = _LINE.match(line)
        if line and line[0] not in "#!" and match and match[1]:
            name, value = (_unescape(part) for part in match.groups())
            found[name] = value
    return found


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else _ESCAPES.get(match[2], match[2])

    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", one, text, flags=re.DOTALL)


def fill_in(text: str, environment: Mapping[str, str]) -> str:
    """`text` with `$NAME` and `${NAME}` filled in; names that are not in `environment` stay as they are."""
    return _VARIABLE.sub(lambda match: environment.get(match[1] or match[2], match[0]), text)


def inject(text: str, environment: dict[str, str]) -> dict[str, str]:
    """The variables that `text` sets; they are put into `environment`, each filled in with those before it."""
    found = {}
    for name, value in read_properties(text).items():
        found[name] = environment[name] = fill_in(value, environment)
    return found
