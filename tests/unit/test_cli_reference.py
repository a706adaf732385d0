"""The reference of all commands is the code's."""

from __future__ import annotations

from pathlib import Path

import pytest

from byoci.cli.reference import render_commands

pytestmark = pytest.mark.host
PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_is_what_the_code_says() -> None:
    told = "run: python -m byoci.cli.reference > docs/commands.md"
    assert PAGE.read_text(encoding="utf-8") == render_commands(), told
