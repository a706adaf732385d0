"""The gate's own rule: what is skipped for something missing has failed there, and elsewhere is skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = {
    "test_missing.py": "import pytest\ndef test_a(): pytest.skip('missing: frobnicator')\n",
    "test_module.py": "import pytest\npytest.importorskip('frobnicator', reason='missing: frobnicator')\n",
    "test_allowed.py": "import pytest\ndef test_c(): pytest.skip('only root can')\ndef test_d(): pass\n",
}


@pytest.mark.parametrize(
    ("ci", "name", "words"),
    [
        ("true", "test_missing.py", "1 failed"),
        ("", "test_missing.py", "1 skipped"),
        ("true", "test_module.py", "1 error"),
        ("", "test_module.py", "1 skipped"),
        ("true", "test_allowed.py", "1 passed, 1 skipped"),
    ],
)
@pytest.mark.slow
def test_skips_in_a_gate(tmp_path: Path, ci: str, name: str, words: str) -> None:
    (tmp_path / "conftest.py").write_bytes(CONFTEST.read_bytes())
    (tmp_path / name).write_text(TESTS[name])
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), name]
    run = subprocess.run(argv, cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False)
    assert words in run.stdout.splitlines()[-1], run.stdout
