"""The part of a Jenkins that no server within reach has: plugin manager, update center, nodes' config.xml, restarts.

It follows Jenkins' documented API, keeps what it is told, and fails where a test says so.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import served

if TYPE_CHECKING:
    from collections.abc import Iterator

AWAY = 0.8  # seconds that a restart takes


class JenkinsPlugins:
    """Its state, and what it answers.

    plugins   name → version, as loaded
    offered   name → version at the update site
    failing   names whose download fails
    broken    names and versions that do not load after a restart, as "git:5"
    nodes     name → config.xml
    """

    def __init__(self) -> None:
        self.plugins: dict[str, str] = {}
        self.offered: dict[str, str] = {}
        self.failing: set[str] = set()
        self.broken: set[str] = set()
        self.nodes: dict[str, str] = {}
        self.leads_to = "/"  # where one is sent after a post
        self.restarts = 0
        self.jobs: list[dict[str, Any]] = []
        self._files: dict[str, str] | None = None  # what a restart loads
        self._backups: dict[str, str] = {}
        self._away_until = 0.0

    def answer(self, method: str, path: str, body: str) -> tuple[int, str, str]:
        """Status, kind and text."""
        if time.monotonic() < self._away_until:
            return 503, "text/html", "<html><h1>Please wait while Jenkins is getting ready to work</h1></html>"
        if method == "GET":
            told = self._told(path)
            if isinstance(told, str):
                return 200, "application/xml", told
            return (404, "text/html", "Not Found") if told is None else (200, "application/json", json.dumps(told))
        return self._post(path, body), "text/plain", ""

    def _told(self, path: str) -> Any:
        if found := re.fullmatch("computer/([^/]+)/config.xml", path):
            return self.nodes.get(found[1])
        loaded = [
            {"shortName": name, "version": version, "enabled": True, "active": f"{name}:{version}" not in self.broken}
            for name, version in self.plugins.items()
        ]
        return {
            "api/json": {"jobs": []},
            "crumbIssuer/api/json": {"crumbRequestField": "Jenkins-Crumb", "crumb": "c"},
            "pluginManager/api/json": {"plugins": loaded},
            "computer/api/json": {"computer": [{"displayName": name} for name in ("Built-In Node", *self.nodes)]},
            "updateCenter/api/json": {"jobs": self.jobs, "restartRequiredForCompletion": self._files is not None},
        }.get(path)

    def _post(self, path: str, body: str) -> int:
        files = dict(self.plugins) if self._files is None else self._files
        if path == "safeRestart":
            self.restarts += 1
            self.plugins, self._files, self.jobs = files, None, []
            self._away_until = time.monotonic() + AWAY
        elif path == "pluginManager/installNecessaryPlugins":
            for name in re.findall('plugin="([^@]+)@', body):
                if name in self.offered:
                    self._fetch(name, files)
        elif found := re.fullmatch("updateCenter/plugin/([^/]+)/downgrade", path):
            files[found[1]] = self._backups.pop(found[1])
            self._files = files
            self._job(found[1], files[found[1]], "Success")
        elif found := re.fullmatch("pluginManager/plugin/([^/]+)/doUninstall", path):
            del files[found[1]]
            self._files = files
        elif found := re.fullmatch("computer/([^/]+)/config.xml", path):
            self.nodes[found[1]] = body
            return 200
        elif path == "computer/doCreateItem":
            form = json.loads(parse_qs(body)["json"][0])
            self.nodes[parse_qs(body)["name"][0]] = f"<slave><label>{form['labelString']}</label></slave>"
        else:
            return 404
        return 302

    def _fetch(self, name: str, files: dict[str, str]) -> None:
        if name in self.failing:
            self._job(name, self.offered[name], "Failure")
            return
        if name in files:
            self._backups[name] = files[name]
        elif f"{name}:{self.offered[name]}" not in self.broken:
            self.plugins[name] = self.offered[name]  # what is new is loaded at once
        changed = name in files
        files[name] = self.offered[name]
        self._files = files if changed or self._files is not None else None
        self._job(name, files[name], "SuccessButRequiresRestart" if changed else "Success")

    def _job(self, name: str, version: str, state: str) -> None:
        job = {"id": len(self.jobs) + 1, "plugin": {"name": name, "version": version}, "status": {"type": state}}
        self.jobs.append({"id": 0, "type": "ConnectionCheckJob"})
        self.jobs.append(job)


@contextlib.contextmanager
def serving(jenkins: JenkinsPlugins) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET", "")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if self.headers["Jenkins-Crumb"] == "c" and "JSESSIONID=s" in self.headers["Cookie"]:
                self._reply("POST", text)
            else:
                self.send_error(403, "No valid crumb was included in the request")

        def _reply(self, method: str, text: str) -> None:
            status, kind, told = jenkins.answer(method, unquote(urlsplit(self.path).path.lstrip("/")), text)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Set-Cookie", "JSESSIONID=s; Path=/; HttpOnly")
            self.send_header("Content-Length", str(len(told.encode())))
            if status == 302:
                self.send_header("Location", jenkins.leads_to)
            self.end_headers()
            self.wfile.write(told.encode())

        def log_message(self, *_: object) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url
