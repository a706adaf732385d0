"""A controller that is a Jenkins: who signs in, with what, and what is told where that goes wrong.

byoci's own controller takes the part of the Jenkins: it speaks the same API, and lets in nobody without a token.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from controller_process import running

pytestmark = [pytest.mark.controller, pytest.mark.slow]

BYOCI = str(Path(sys.executable).with_name("byoci"))
CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[project.hello]
vcs = "git"
trunk = "/nowhere"
tests.command = "true"
[controller]
engine = "jenkins"
url = "{url}"
{more}
"""


def test_a_jenkins_is_asked_with_its_token_and_what_is_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path / "home"))
    config, token = tmp_path / "byoci.toml", tmp_path / "home/testing/secrets/controller/jenkins-token"

    def byoci(*words: str, url: str, more: str = 'user = "admin"') -> tuple[int, str]:
        config.write_text(CONFIG.format(url=url, more=more))
        argv = [BYOCI, "--config", config, *words]
        run = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True)
        return run.returncode, run.stdout + run.stderr

    def told(*words: str, url: str, code: int = 75, more: str = 'user = "admin"') -> None:
        status, said = byoci("job", "update", url=url, more=more)
        assert status == code, said
        for word in words:
            assert word in said

    with running(tmp_path / "jenkins") as server:
        url = server.url
        told("the token of admin is missing", str(token), url=url, code=2)
        assert "controller/jenkins-token" in byoci("host", "secrets", url=url)[1]
        token.write_text("two words\n")
        token.chmod(0o600)
        told("holds no token", url=url, code=2)
        token.write_text("0123456789abcdef\n")
        told("does not accept the token of admin", str(token), "docs/jenkins.md", url=url)
        told("wants one to sign in", "401 to api/json", "controller.user", url=url, more="")
        token.write_text(f"{server.token}\n")
        told("no Jenkins answers at", "controller.url", url=f"{url}ci/")
        told("the controller does not answer", url="http://127.0.0.1:9/")
        assert "land-hello" in byoci("job", "update", url=url)[1]
        assert server.get("job/land-hello/api/json").status == 200
        assert byoci("job", "update", url=url)[1] == "All jobs are as they should be.\n"
        code, said = byoci("controller", "serve", url=url)
        assert (code, "byoci: the controller is not byoci's own" in said) == (2, True)
        assert server.post("job/land-hello/doDelete", headers={}).status == 302
        monitor = 'user = "admin"\n[monitor]\nport = 0'
        try:
            code, said = byoci("up", url=url, more=monitor)
            assert (code, "Job land-hello: make" in said, "The dashboard is at" in said) == (0, True, True), said
            assert not (tmp_path / "home/testing/controller/address").exists()
        finally:
            assert byoci("down", url=url, more=monitor)[1] == "The monitor has ended.\n"
        assert byoci("host", "systemd-units", "--to", str(tmp_path / "units"), url=url)[0] == 0
        assert [path.name for path in (tmp_path / "units").iterdir()] == ["byoci-monitor@.service"]
        assert "jenkins-token" not in byoci("host", "secrets", "--check", url=url)[1]
