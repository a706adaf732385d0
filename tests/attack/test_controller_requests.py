"""What a stranger, a hostile page in an administrator's browser, or a hostile job tries at the controller."""

from __future__ import annotations

import base64
import contextlib
import resource
import signal
import socket
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from controller_process import ControllerProcess, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    b"<project><description>&b;</description></project>"
)


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControllerProcess]:
    with running(tmp_path_factory.mktemp("controller") / "home") as process:
        process.shell("target", "true", "<authToken>sesame</authToken>")
        yield process
        assert process.get("api/json").status == 200


@pytest.mark.parametrize("auth", ["", "admin:", "admin:wrong", "nobody:wrong", "admin:sesame", ":", "\N{SNOWMAN}:x"])
@pytest.mark.parametrize("path", ["api/json", "", "job/target/config.xml", "crumbIssuer/api/json", "no/such/thing"])
def test_nobody_is_let_in_without_a_token(controller: ControllerProcess, auth: str, path: str) -> None:
    reply = controller.get(path, auth=auth)
    assert reply.status == 401
    assert b"target" not in reply.body
    assert controller.post("job/target/doDelete", auth=auth).status == 401


def test_a_jobs_own_token_starts_that_job_and_does_nothing_else(controller: ControllerProcess) -> None:
    assert controller.post("job/target/build?token=wrong", auth="").status == 401
    assert controller.post("job/target/build?token=", auth="").status == 401
    assert controller.post("job/target/build?token=sesame", auth="").status == 201
    for path in ("job/target/doDelete", "job/target/config.xml", "job/target/1/stop", "createItem?name=x"):
        assert controller.post(f"{path}{'&' if '?' in path else '?'}token=sesame", auth="").status == 401
    assert controller.get("api/json?token=sesame", auth="").status == 401


def test_another_sites_page_cannot_post(controller: ControllerProcess) -> None:
    headers = {"Origin": "https://evil.example", "Content-Type": "application/x-www-form-urlencoded"}
    assert controller.post("job/target/build", headers=headers).status == 403
    for origin in ("null", controller.url.rstrip("/").replace("127.0.0.1", "localhost"), "http://127.0.0.1"):
        assert controller.post("job/target/build", headers={**headers, "Origin": origin}).status == 403
    headers["Origin"] = controller.url.rstrip("/")
    assert controller.post("job/target/build", headers={**headers, "Jenkins-Crumb": "x"}).status == 403
    headers["Jenkins-Crumb"] = controller.get("crumbIssuer/api/json").json["crumb"]
    assert controller.post("job/target/build", headers=headers).status == 201


@pytest.mark.parametrize("verb", ["doDelete", "build", "disable", "doWipeOutWorkspace"])
def test_a_link_changes_nothing(controller: ControllerProcess, verb: str) -> None:
    assert controller.get(f"job/target/{verb}").status == 405
    assert controller.get("job/target/api/json").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "a/b",
        "a\\b",
        "a\nb",
        "\x00",
        "a%2fb",
        " x",
        "x ",
        "\u202ex",
        "x" * 10_000,
        "<script>",
        "a;b",
        "",
        "\udcff",
    ],
)
def test_names_that_lead_elsewhere_are_refused(controller: ControllerProcess, name: str) -> None:
    quoted = quote(name, safe="", errors="surrogateescape")
    reply = controller.post(f"createItem?name={quoted}", b"<project/>")
    assert reply.status in (400, 404)
    assert [job["name"] for job in controller.get("api/json").json["jobs"]] == ["target"]
    assert controller.post(f"createView?name={quoted}", b"<hudson.model.ListView/>").status in (400, 404)
    assert controller.post(f"job/target/doRename?newName={quoted}").status in (400, 404)


def test_an_odd_name_is_kept_as_it_is(controller: ControllerProcess) -> None:
    name = quote("ünï côde (1), it's=~+")
    assert controller.post(f"createItem?name={name}", b"<project/>").status == 200
    assert controller.get(f"job/{name}/api/json").json["fullName"] == "ünï côde (1), it's=~+"
    assert controller.run(name)[0]["result"] == "SUCCESS"
    assert controller.post(f"job/{name}/doDelete").status == 302


@pytest.mark.parametrize(
    "body", [b"", b"<project>", BOMB, b"\xff\xfe", b'<project><builders reference="../x"/></project>']
)
def test_a_hostile_description_of_a_job_is_refused(controller: ControllerProcess, body: bytes) -> None:
    assert controller.post("createItem?name=hostile", body).status in (400, 500)
    assert controller.post("job/target/config.xml", body).status in (400, 500)
    assert controller.get("job/hostile/api/json").status == 404


def test_a_request_without_end_is_refused(controller: ControllerProcess) -> None:
    assert controller.post("createItem?name=large", b"x" * (5 * 1024**2)).status == 400


@pytest.mark.parametrize(
    "path",
    [
        "job/../../../etc/passwd",
        "job/target/1/artifact/..%2f..%2f..%2fcontroller.sqlite",
        "job/target/lastBuild/artifact/%2e%2e/log",
        "job/target/99999999999/api/json",
        "job/target/1/logText/progressiveText?start=-1",
        "api/json?tree=" + "a[" * 50,
        "api/json?depth=x",
        "queue/item/x/api/json",
        "computer/..%2f/config.xml",
        "user/%00/api/json",
        "x" * 9000,
        "job/target/api/xml?xpath=//x",
    ],
)
def test_odd_addresses_are_errors_of_the_caller(controller: ControllerProcess, path: str) -> None:
    assert 400 <= controller.get(path).status < 500


@pytest.mark.parametrize(
    "data", [b"GET", b"\x00" * 100, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"\n" * 1000]
)
def test_what_is_no_request_harms_nobody(controller: ControllerProcess, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", controller.port)) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(10)
        assert b"200 OK" not in connection.recv(4096)


def raw(controller: ControllerProcess, data: bytes, patience: float = 10.0) -> bytes:
    """What is answered to bytes, until the other end closes."""
    with socket.create_connection(("127.0.0.1", controller.port), timeout=patience) as connection:
        connection.sendall(data)
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer


def test_a_request_in_a_request_is_none(controller: ControllerProcess) -> None:
    auth = b"Authorization: Basic " + base64.b64encode(f"admin:{controller.token}".encode()) + b"\r\n"
    head = b"POST /job/none/build HTTP/1.1\r\nHost: x\r\n" + auth
    inner = b"0\r\n\r\nGET /whoAmI/api/json HTTP/1.1\r\nHost: x\r\n" + auth + b"\r\n"
    answer = raw(controller, head + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + inner)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_what_surrounds_a_request_is_bounded(controller: ControllerProcess) -> None:
    """Names and values are kept until they are whole: they must not be of any length, nor a body's trailers."""
    post = b"POST /job/target/build HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    for data in (b"GET / HTTP/1.1\r\nX: ", b"GET /", b"GET / HTTP/1.1\r\n", post + b"0\r\nX: ", post + b"1;"):
        sent, answer = 0, b""
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection(("127.0.0.1", controller.port), timeout=10) as connection,
        ):
            connection.sendall(data)
            while sent < 10_000_000:
                sent += connection.send((b"X: y\r\n" if data.endswith(b"\n") else b"x") * 10_000)
            answer = connection.recv(4096)
        assert sent < 10_000_000, (data, answer)
    assert controller.get("api/json").status == 200


def test_the_head_of_an_answer_is_sent_without_a_body(controller: ControllerProcess) -> None:
    head = b"HEAD /login HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = raw(controller, head + head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"<html" not in answer


@pytest.mark.parametrize("path", ["createItem?name=x", "job/target/build"])
def test_of_a_stranger_no_large_body_is_awaited(controller: ControllerProcess, path: str) -> None:
    length = 10**9
    with socket.create_connection(("127.0.0.1", controller.port), timeout=10) as connection:
        connection.sendall(f"POST /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        connection.sendall(b"x" * 300_000)
        assert connection.recv(4096).startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))


def test_who_only_waits_makes_room_for_who_asks(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    process = ControllerProcess(tmp_path / "home")
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    try:
        process.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert process.process is not None
    with contextlib.ExitStack() as stack:
        for at_once in (False, True):
            if at_once:  # it finds all of them when it comes to look again
                process.process.send_signal(signal.SIGSTOP)
            for number in range(300):
                connection = socket.create_connection(("127.0.0.1", process.port), timeout=10)
                stack.enter_context(connection)
                with contextlib.suppress(ConnectionError):  # closed already, to make room
                    connection.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else b"")
            process.process.send_signal(signal.SIGCONT)
            assert process.get("api/json").status == 200
    process.stop()
    assert "Traceback" not in process.errors.read_text()


@pytest.mark.parametrize(
    "told",
    [
        '{"numExecutors": 999999999, %s}',
        '{"numExecutors": 1e999, %s}',
        '{"nodeDescription": "\\ud800", %s}',
        "[" * 100_000,
    ],
)
def test_a_hostile_form_of_a_node_is_refused(controller: ControllerProcess, told: str) -> None:
    launcher = '"launcher": {"stapler-class": "hudson.plugins.sshslaves.SSHLauncher", "host": "127.0.0.1"}'
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = f"name=hostile&json={quote(told.replace('%s', launcher))}".encode()
    assert controller.post("computer/doCreateItem", body, headers=headers).status in (400, 500)
    assert controller.get("computer/hostile/api/json").status == 404


def test_a_jobs_description_is_no_page(controller: ControllerProcess) -> None:
    script = b'<folderViews><script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script></folderViews>'
    kind = b"com.cloudbees.hudson.plugins.folder.Folder"
    assert controller.post("createItem?name=page", b"<%b>%b</%b>" % (kind, script, kind)).status == 200
    assert "sandbox" in controller.get("job/page/config.xml").headers["Content-Security-Policy"]
    assert controller.post("job/page/doDelete").status == 302


def test_the_script_console_knows_one_script(controller: ControllerProcess) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = controller.post("scriptText", b"script=" + quote('println("x".execute())').encode(), headers=headers)
    assert reply.status == 400
    assert "no Groovy" in reply.text


def test_what_a_build_prints_is_no_page(controller: ControllerProcess) -> None:
    controller.shell("script", "printf '<script>alert(1)</script>\\033[31m\\n'; printf '%0.s=' $(seq 100000)")
    _, log = controller.run("script")
    assert "<script>alert(1)</script>\x1b[31m\n" in log
    reply = controller.get("job/script/1/consoleText")
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert controller.post("job/script/doDelete").status == 302


def test_what_a_build_puts_among_what_is_kept_holds_nobody_up(controller: ControllerProcess) -> None:
    script = 'cd "$(dirname "$0")"; mkdir -p files/0; mkfifo files/0/pipe; ln -s /etc/passwd files/0/link; '
    script += 'cd "$WORKSPACE"; echo kept > plain; ln -s /etc/passwd link'
    kind = "hudson.tasks.ArtifactArchiver"
    controller.shell("keeps", script, f"<publishers><{kind}><artifacts>**</artifacts></{kind}></publishers>")
    facts, _ = controller.run("keeps")
    assert [artifact["relativePath"] for artifact in facts["artifacts"]] == ["plain"]
    assert controller.get("job/keeps/1/artifact/plain").body == b"kept\n"
    assert controller.get("job/keeps/1/artifact/link").status == 404
    assert controller.post("job/keeps/doDelete").status == 302


def test_only_its_own_user_can_read_the_state(controller: ControllerProcess) -> None:
    for name in ("admin-token", "controller.sqlite", "address", "pid"):
        assert (controller.home / name).stat().st_mode & 0o077 == 0, name
    assert controller.home.stat().st_mode & 0o077 == 0


def test_a_second_controller_and_a_taken_port_are_told(controller: ControllerProcess) -> None:
    import subprocess
    import sys

    def start(home: str, port: int) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "byoci.controller", home, str(port)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    second = start(str(controller.home), 0)
    assert (second.returncode, "another controller" in second.stderr) == (2, True)
    taken = start(f"{controller.home}-other", controller.port)
    assert (taken.returncode, f"port {controller.port} cannot be used" in taken.stderr) == (2, True)
