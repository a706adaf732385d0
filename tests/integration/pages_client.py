"""A person's browser without a browser: cookies, forms, and a look at what a page is made of."""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from controller_process import ControllerProcess

VOID = {"meta", "link", "input", "br", "img", "hr", "path", "rect", "circle"}


@dataclass
class Form:
    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)


class Look(HTMLParser):
    """What a page holds. A tag that is closed out of turn is a broken page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.words: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self._filling = ""
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.tags.append((tag, values))
        if tag == "form":
            self.forms.append(Form(values.get("method", "get"), values.get("action", "")))
        unchecked = values.get("type") == "checkbox" and "checked" not in values
        if tag in ("input", "textarea", "select") and "name" in values and self.forms and not unchecked:
            self.forms[-1].fields[values["name"]] = values.get("value", "")
        if tag in ("textarea", "select"):
            self._filling = values["name"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open, tag
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["title"] and "svg" not in self._open:
            self.title += data
        if self._open[-1:] == ["textarea"]:
            self.forms[-1].fields[self._filling] += data.removeprefix("\n")
        if self._open[-1:] == ["option"] and not self.forms[-1].fields[self._filling]:
            self.forms[-1].fields[self._filling] = data  # the first one, as in browsers
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    def lines(self) -> list[int]:
        """The numbers of the lines of a log."""
        found = (re.fullmatch(r"L(\d+)", values.get("id", "")) for tag, values in self.tags if tag == "li")
        return [int(match[1]) for match in found if match]

    def links(self) -> list[str]:
        return [values["href"] for tag, values in self.tags if tag == "a" and "href" in values]


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def look(self) -> Look:
        return Look(self.text)


class Browser:
    """Asks as browsers do; keeps the cookie."""

    def __init__(self, controller: ControllerProcess) -> None:
        self.controller = controller
        self.cookie = ""

    def ask(self, path: str, form: dict[str, str] | None = None, *, headers: dict[str, str] | None = None) -> Answer:
        parts = urlsplit(self.controller.url)
        sent = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        body = None
        if form is not None:
            body = urlencode(form)
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"{parts.scheme}://{parts.netloc}"}
        if self.cookie:
            sent["Cookie"] = self.cookie
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            connection.request("GET" if body is None else "POST", path, body, sent | (headers or {}))
            reply = connection.getresponse()
            answer = Answer(reply.status, reply.headers, reply.read())
        finally:
            connection.close()
        if told := answer.headers.get("Set-Cookie"):
            self.cookie = told.partition(";")[0]
        return answer

    def sign_in(self) -> Answer:
        return self.ask("/login", {"name": "admin", "secret": self.controller.token})

    def submit(self, page: str, action: str, **changed: str) -> Answer:
        """Fill in and send the form of a page whose address ends so."""
        (form,) = [form for form in self.ask(page).look.forms if form.action.endswith(action)]
        assert form.method == "post"
        return self.ask(form.action, {**form.fields, **changed})
