"""Updates between trees in git as no person makes them: names of any bytes, submodules, links into nowhere."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from contract.test_vcs_update import AT, everything, same_as_exported
from contract.vcs_playground_git import GitPlayground

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.agent, pytest.mark.git]

NAMES = (
    b"a",
    b"a.b",
    b"a-b",
    b"\xff\xfe",
    b"new\nline",
    b"-rf",
    b"\xc3\xa4",
    b"a\xcc\x88",
    b"sp ace",
    b"'q'",
    b"\\",
    b"~",
)


def entries(dice: random.Random, prefix: bytes = b"", depth: int = 0) -> Iterator[bytes]:
    """Lines of `git fast-import` for a random tree. Names are few, so that one often becomes another thing."""
    for name in dice.sample(NAMES, dice.randint(1, 6)):
        path, kind = prefix + name, dice.random()
        quoted = b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'
        if kind < 0.35 and depth < 5:
            yield from entries(dice, path + b"/", depth + 1)
        elif kind < 0.42:
            yield b"M 160000 %040x %s\n" % (dice.randint(1, 3), quoted)
        else:
            mode = dice.choice((b"100644", b"100644", b"100755", b"120000"))
            text = dice.choice((b"a", b"/etc/passwd", b"..", b"x" * 300))
            yield b"M %s inline %s\ndata %d\n%s\n" % (mode, quoted, len(text), text)


@pytest.mark.slow
def test_any_tree_becomes_any_other(tmp_path: Path) -> None:
    """Each tree differs a little, or altogether, from the one before it."""
    play = GitPlayground(tmp_path / "play")
    trunk = play.empty()
    dice = random.Random("trees of any kind")
    stream = []
    for number in range(60):
        stream.append(b"commit refs/heads/main\ncommitter A <a@b.c> %d +0000\ndata 1\nc\n" % number)
        stream += [b"deleteall\n"] if number % 4 == 0 else []
        stream += entries(dice)
    play.git(play.folder(trunk), "fast-import", "--quiet", stdin=b"".join(stream))
    revisions = play.git(play.folder(trunk), "rev-list", "--reverse", "main").split()
    vcs = play.vcs(tmp_path / "private")
    vcs.fetch(trunk, trusted=True)
    folder = tmp_path / "tree"
    held = vcs.export(revisions[0], folder, AT)
    sizes = set()
    for revision in (*revisions[1:], revisions[5], revisions[5]):
        held = vcs.update(folder, held, revision)
        same_as_exported(vcs, tmp_path, held, folder, revision)
        sizes.add(len(everything(folder)))
    assert len(sizes) > 10
