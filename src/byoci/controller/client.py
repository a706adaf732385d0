"""The site's own controller, asked over its remote API by whoever may read its state folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from byoci.errors import UnavailableError
from byoci.jenkins.client import Jenkins
from byoci.web.serving import ADDRESS_FILE

if TYPE_CHECKING:
    from pathlib import Path

ADMINISTRATOR: Final = "admin"
TOKEN_FILE: Final = "admin-token"  # noqa: S105 - a file's name


def as_administrator(home: Path) -> Jenkins:
    """The API of the controller whose state folder that is. Raises `UnavailableError` where it does not run."""
    try:
        url = (home / ADDRESS_FILE).read_text(encoding="utf-8").strip()
        token = (home / TOKEN_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise UnavailableError(
            "the controller does not run", details=f"{error.filename} is not there", resolution="Type: byoci up"
        ) from error
    return Jenkins(url, ADMINISTRATOR, token)


class Client:
    """See the module. Errors: `UnavailableError` with the controller's own words."""

    def __init__(self, url: str, home: Path) -> None:
        token = (home / TOKEN_FILE).read_text(encoding="ascii").strip()
        self._jenkins = Jenkins(url, ADMINISTRATOR, token)

    def node(self, name: str) -> dict[str, Any] | None:
        """An agent as the API has it; None where there is none of that name."""
        told = self._jenkins.get(f"computer/{quote(name, safe='')}/api/json")
        return None if told is None else dict(json.loads(told))

    def nodes(self) -> dict[str, str]:
        """The names of all agents, with their descriptions."""
        told = json.loads(self._jenkins.get("computer/api/json?tree=computer[displayName,description]") or b"{}")
        return {str(node["displayName"]): str(node.get("description") or "") for node in told.get("computer", ())}

    def node_config(self, name: str) -> bytes | None:
        """Its config.xml."""
        return self._jenkins.get(f"computer/{quote(name, safe='')}/config.xml")

    def make_node(self, name: str, form: dict[str, Any]) -> None:
        """Make an agent; `form` is what Jenkins' page sends."""
        body = urlencode({"name": name, "json": json.dumps(form)}).encode()
        self._jenkins.post("computer/doCreateItem", body, "application/x-www-form-urlencoded")

    def change_node(self, name: str, config: bytes) -> None:
        """Give an agent another config.xml."""
        self._jenkins.post(f"computer/{quote(name, safe='')}/config.xml", config, "text/xml")

    def drop_node(self, name: str) -> None:
        """Remove an agent, which must not be building."""
        self._jenkins.post(f"computer/{quote(name, safe='')}/doDelete", b"", "text/plain")
