"""Pages of packs' indices, which are read and parsed once for all the times that this process opens a repository.

A landing opens the same few repositories some thirty times. Each time breezy would parse the same pages again, of
hundreds of keys each, which took half of a landing's time on a long history. The file of an index never changes: a pack
that is written, or made of several, has a name of its own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from breezy.bzr import btree_index
from breezy.errors import NotLocalUrl
from breezy.lru_cache import LRUCache

if TYPE_CHECKING:
    from collections.abc import Hashable

_indices: Final = LRUCache(200)
_leaves: Final = LRUCache(150)  # pages of all indices together, some tens of kilobytes each


def keep_pages(repository: Any) -> None:
    """Let a repository that was just opened use the pages that are known, where its format is the usual one.

    Only for our own and for trunk's: an index tells where contents are, and a stranger could change a file in place.
    """
    packs = getattr(repository, "_pack_collection", None)
    if packs is not None and packs._index_class is btree_index.BTreeGraphIndex:  # noqa: SLF001 - there is no other way
        packs._index_class = _index  # noqa: SLF001


class _Leaves:
    """One index's leaf pages among those of all, as breezy wants to keep them."""

    def __init__(self, index: Hashable) -> None:
        self._index = index

    def __getitem__(self, page: int) -> Any:
        return _leaves[self._index, page]

    def __setitem__(self, page: int, content: Any) -> None:
        _leaves[self._index, page] = content

    def keys(self) -> list[int]:
        """The pages that are known."""
        return [page for index, page in _leaves.keys() if index == self._index]  # noqa: SIM118 - no mapping

    def clear(self) -> None:
        """They make room for others by themselves."""


def _index(transport: Any, name: str, size: int | None, unlimited_cache: bool = False) -> Any:
    """In place of `BTreeGraphIndex(…)`: that of an earlier time, if this is still the same file."""
    try:
        facts = os.stat(transport.local_abspath(name))  # noqa: PTH116 - nothing else is done with it
    except (NotLocalUrl, FileNotFoundError):
        facts = None
    if facts is None or size is None:  # the list of packs has no known size; it changes
        return btree_index.BTreeGraphIndex(transport, name, size, unlimited_cache)
    key = (transport.base, name, size, facts.st_ino, facts.st_mtime_ns)
    index = _indices.get(key)
    if index is None:
        _indices[key] = index = btree_index.BTreeGraphIndex(transport, name, size)
        index._leaf_node_cache = _Leaves(key)  # noqa: SLF001
        if name.endswith(".cix"):
            index._leaf_factory = btree_index._gcchk_factory  # noqa: SLF001
    return index
