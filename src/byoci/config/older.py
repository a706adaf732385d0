"""Names of the older byoci and byov, and what they are called now; the table is in older_options.py.

Read by the errors that refuse such names, by `byoci config OLDNAME` and by `byoci migrate`.
"""

from __future__ import annotations

import difflib
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Final

from byoci.config.older_options import DEFAULTS, GROUPS, NAMESPACED
from byoci.config.paths import NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from byoci.config.older_options import Group

# Words of the older byoci that are no options, and tables that people write of them.
WORDS: Final = {
    "master": "controller",
    "slave": "agent",
    "container": "worker.NAME",
    "vm": "machine.NAME (not in this version)",
    "launchpad": 'site.landing.user, and project.NAME.forge = "launchpad" (not in this version)',
    "gitlab": 'project.NAME.forge = "gitlab" (not in this version)',
}
_SECRET: Final = re.compile(
    r"(^|[._])(passw(or)?d|passphrase|secret|token|(api|access|private)[._]?key)$", re.IGNORECASE
)
_KEY: Final = re.compile(r"\b[a-z]+(?:\.[A-Za-z_]+)+")
_CLOSE: Final = 0.75


@cache
def _table() -> Mapping[str, Group]:
    return {name: group for group in GROUPS for name in group.names.split()}


def canonical(option: str) -> tuple[str | None, str]:
    """An option as the table has it, and the namespace it is of: `production.landing.user` is `byoci.landing.user`.

    What the documentation writes without a namespace, `landing.user`, is of all: None.
    """
    head, _, rest = option.partition(".")
    if head in NAMESPACES and rest in NAMESPACED:
        return head, f"byoci.{rest}"
    if "." in option and option in NAMESPACED:
        return None, f"byoci.{option}"
    return None, option


def lookup(option: str) -> Group | None:
    """What became of an option; None for one that the older programs did not know."""
    return _table().get(canonical(option)[1])


def default(option: str) -> str | None:
    """The older default, where there is one that depends on no person and no machine; it may refer to other options."""
    return DEFAULTS.get(option, DEFAULTS.get(canonical(option)[1]))


def is_secret(option: str) -> bool:
    """Whether the option's value is a secret: by the table, and for an unknown one by its name."""
    group = lookup(option)
    return group.fate == "secret" if group is not None else bool(_SECRET.search(option))


def nearest(option: str) -> str | None:
    """The older option that an unknown one most likely means."""
    head, _, rest = option.partition(".")
    if head in NAMESPACES:
        found = difflib.get_close_matches(rest[:100], NAMESPACED, n=1, cutoff=_CLOSE)
        return f"{head}.{found[0]}" if found else None
    found = difflib.get_close_matches(option[:100], [*_table(), *NAMESPACED], n=1, cutoff=_CLOSE)
    return found[0] if found else None


def told(path: tuple[str, ...]) -> str | None:
    """What the older key `path` is now, as the rest of a sentence: "now it is …". None for a key that never was.

    An option counts first, then a word of the older byoci that begins the path, then an option that does.
    """
    exact = lookup(".".join(path))
    if exact is not None and (len(path) > 1 or path[0] not in WORDS):
        return _fate(exact)
    if path[0] in WORDS:
        return f"now it is {WORDS[path[0]]}"
    return next((_fate(found) for end in range(len(path) - 1, 1, -1) if (found := lookup(".".join(path[:end])))), None)


def successor(group: Group) -> str:
    """What a group's options are called now, with a remark where this version has no such thing."""
    return group.now if group.fate != "later" or _is_here(group.now) else f"{group.now} (not in this version)"


def _fate(group: Group) -> str:
    if group.fate == "refused":
        return f"it has no successor. {group.why}"
    place = f"it moves to {group.now}" if group.now == "the secrets folder" else f"now it is {successor(group)}"
    return f"{place}. {group.why}" if group.why else place


def _is_here(now: str) -> bool:
    """Whether every key and value that the text names is one of this version's schema."""
    from byoci.config.schema import BACKENDS, FORGES
    from byoci.config.schema_controller import JENKINS
    from byoci.config.walk import known_keys

    known = {".".join(key.path) for key in known_keys()}
    keys, values = _KEY.findall(now), re.findall(r'"([^"]*)"', now)
    return bool(keys) and known.issuperset(keys) and {*FORGES, *BACKENDS, JENKINS}.issuperset(values)


def render_table() -> str:
    """The rows of docs/older-options.md, one an option."""
    return "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    for name, group in sorted(_table().items()):
        shown = name.replace("byoci.", "NAMESPACE.", 1) if name.removeprefix("byoci.") in NAMESPACED else name
        cells = (f"`{shown}`", successor(group) or "none", group.why)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


_HEAD: Final = """\
# Options of the older byoci

<!-- Made by `python -m byoci.config.older`; a test compares the two. -->

Every option of byoci 1.0.4 and byov 2.4.2, and what is there in its place; [migrating.md](migrating.md) tells the rest.
NAMESPACE stands for `production`, `testing` or `selftest`. `byoci config OPTION` tells the same.

| older | now | what to know |
|---|---|---|
"""


def render_page() -> str:
    """The text of docs/older-options.md."""
    return _HEAD + render_table()


if __name__ == "__main__":
    sys.stdout.write(render_page())
