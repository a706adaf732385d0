"""A build that is stopped as soon as it was started ends as stopped: nothing of that is lost on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.controller]
_BUILDS = 20
_PROGRAM = "import sys; from byoci.controller.agentside.server import main; main(sys.argv[1])"


def plan_of(folder: Path, script: str) -> dict[str, Any]:
    lists = ("clean", "before", "secrets", "limits", "after", "conditions", "keep", "prints", "read")
    return {
        "header": "",
        "workspace": str(folder),
        "environment": {},
        "timestamps": False,
        "steps": [{"shell": script, "unstable": None}],
        **{name: [] for name in lists},
    }


@pytest.mark.slow
def test_a_build_that_is_stopped_at_once(tmp_path: Path) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "agent")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    ended: dict[str, Any] = {}
    with agent:
        try:
            for number in range(_BUILDS):
                build, plan = str(number), plan_of(tmp_path / "work", "sleep 1000")
                for request in ({"do": "start", "build": build, "plan": plan}, {"do": "abort", "build": build}):
                    agent.stdin.write(json.dumps(request).encode() + b"\n")
                agent.stdin.flush()
            while len(ended) < _BUILDS:
                line = agent.stdout.readline()
                message = json.loads(line) if line.startswith(b"{") else {}
                agent.stdout.read(message.get("bytes", 0))
                if "ended" in message:
                    ended[message["build"]] = message["ended"]
        finally:
            agent.stdin.close()
    assert {build: status.get("result", status) for build, status in ended.items()} == {
        str(number): "ABORTED" for number in range(_BUILDS)
    }
