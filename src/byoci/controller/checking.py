"""Whether the jobs of a Jenkins would run on the controller: those in a folder, or of a live one, only read."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from byoci.controller.catalog import FOLDER
from byoci.controller.jobxml import JobRefusedError, parse_xml
from byoci.controller.jobxml_freestyle import read_job
from byoci.errors import UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE: Final = 30.0  # seconds for an answer
_LARGEST: Final = 64 * 1024**2  # bytes of an answer
_DEEPEST: Final = 20  # folders in folders


@dataclass(frozen=True, slots=True)
class Checked:
    """A job, and what in it the controller does not do, a line each; none where it would run."""

    name: str
    reasons: tuple[str, ...]


def check_config(name: str, config: bytes) -> Checked | None:
    """What the controller thinks of a config.xml; None where it is no job's (a folder's, a view's)."""
    try:
        root = parse_xml(config)
        if root.tag == FOLDER or root.tag.rpartition(".")[2].endswith("View") or root.tag == "hudson":
            return None
        read_job(config)
    except JobRefusedError as error:
        return Checked(name, tuple(map(str, error.refusals)))
    except UsageError as error:
        return Checked(name, (f"{error.brief}: {error.details}",))
    return Checked(name, ())


def check_folder(folder: Path) -> Iterator[Checked]:
    """All jobs below a folder: of `jenkins-jobs test --config-xml -o FOLDER`, or of a Jenkins' own `jobs`."""
    found = [path for path in sorted(folder.rglob("config.xml")) if path.is_file()]
    # Without --config-xml, jenkins-jobs writes a file a job, without an ending.
    flat = [] if found else [path for path in sorted(folder.iterdir()) if path.is_file()]
    if not found and not flat:
        raise UsageError(
            f"there are no jobs in {folder}", resolution="Make them: jenkins-jobs test --config-xml -o FOLDER …"
        )
    for path in (*found, *flat):
        place = path.parent if path in found else path
        checked = check_config(str(place.relative_to(folder)), path.read_bytes())
        if checked is not None:
            yield checked


class Jenkins:
    """A live Jenkins, of which nothing but jobs and their configurations is read."""

    def __init__(self, url: str, user: str = "", word: str = "") -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise UsageError(f"{url} is no address of a Jenkins", resolution="As in: https://ci.example.com/")
        self._url = url.rstrip("/")
        encoded = base64.b64encode(f"{user}:{word}".encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"} if user else {}

    def check(self, path: str = "", depth: int = 0) -> Iterator[Checked]:
        """All jobs, folder by folder."""
        place = "".join(f"/job/{quote(name, safe='')}" for name in path.split("/") if name)
        listed: Any = json.loads(self._get(f"{place}/api/json?tree=jobs[name]"))
        for name in sorted(str(job["name"]) for job in listed.get("jobs", ())):
            below = f"{path}/{name}" if path else name
            config = self._get(f"{place}/job/{quote(name, safe='')}/config.xml")
            checked = check_config(below, config)
            if checked is not None:
                yield checked
            elif depth < _DEEPEST:
                yield from self.check(below, depth + 1)

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(self._url + path, headers=self._headers)  # noqa: S310 - checked above
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as reply:  # noqa: S310
                data = bytes(reply.read(_LARGEST + 1))
        except (OSError, ValueError) as error:  # urllib's errors are of both kinds
            raise UnavailableError(f"{self._url} does not answer", details=f"{path}: {error}") from error
        if len(data) > _LARGEST:
            raise UnavailableError(f"{self._url} answers too much", details=path)
        return data
