"""The site's own controller, asked over its remote API by whoever may read its state folder."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from byoci.errors import UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

ADMINISTRATOR: Final = "admin"
TOKEN_FILE: Final = "admin-token"  # noqa: S105 - a file's name
_PATIENCE: Final = 30.0  # seconds for an answer


class Client:
    """See the module. Errors: `UnavailableError` with the controller's own words."""

    def __init__(self, url: str, home: Path) -> None:
        self._url = url
        token = (home / TOKEN_FILE).read_text(encoding="ascii").strip()
        encoded = base64.b64encode(f"{ADMINISTRATOR}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {encoded}"}

    def node(self, name: str) -> dict[str, Any] | None:
        """An agent as the API has it; None where there is none of that name."""
        told = self._ask(f"computer/{quote(name, safe='')}/api/json")
        return None if told is None else dict(json.loads(told))

    def nodes(self) -> dict[str, str]:
        """The names of all agents, with their descriptions."""
        told = json.loads(self._ask("computer/api/json?tree=computer[displayName,description]") or b"{}")
        return {str(node["displayName"]): str(node.get("description") or "") for node in told.get("computer", ())}

    def node_config(self, name: str) -> bytes | None:
        """Its config.xml."""
        return self._ask(f"computer/{quote(name, safe='')}/config.xml")

    def make_node(self, name: str, form: dict[str, Any]) -> None:
        """Make an agent; `form` is what Jenkins' page sends."""
        body = urlencode({"name": name, "json": json.dumps(form)}).encode()
        self._ask("computer/doCreateItem", body, "application/x-www-form-urlencoded")

    def change_node(self, name: str, config: bytes) -> None:
        """Give an agent another config.xml."""
        self._ask(f"computer/{quote(name, safe='')}/config.xml", config, "text/xml")

    def drop_node(self, name: str) -> None:
        """Remove an agent, which must not be building."""
        self._ask(f"computer/{quote(name, safe='')}/doDelete", b"", "text/plain")

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes | None:
        headers = {**self._headers, "Content-Type": kind} if body is not None else self._headers
        request = urllib.request.Request(self._url + path, data=body, headers=headers)  # noqa: S310 - our own
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
        try:
            with opener.open(request, timeout=_PATIENCE) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                if error.code in (302, 303):
                    return b""
                words = error.read(2000).decode("utf-8", "replace")
            raise UnavailableError(f"the controller refuses {path}", details=words.strip()) from None
        except (OSError, ValueError) as error:
            raise UnavailableError("the controller does not answer", details=f"{path}: {error}") from error


class _Stay(urllib.request.HTTPRedirectHandler):
    """The answer to a post that was done says where to look next; nobody looks."""

    def redirect_request(self, *_: Any) -> None:
        return None
