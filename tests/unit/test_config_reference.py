"""The reference of all keys is the schema's."""

from __future__ import annotations

from pathlib import Path

from byoci.config.reference import reference, render_reference

PAGE = Path(__file__).parents[2] / "docs/configuration.md"


def test_the_page_is_what_the_schema_says() -> None:
    told = "run: python -m byoci.config.reference > docs/configuration.md"
    assert PAGE.read_text(encoding="utf-8") == render_reference(), told


def test_every_key_has_a_type_and_a_meaning() -> None:
    entries = {entry.key: entry for entry in reference()}
    assert all(entry.type and entry.meaning.endswith(".") for entry in entries.values())
    assert entries["worker.NAME.memory"][1:3] == ("size", '"2G"')
    assert entries["worker.NAME.time"][1:3] == ("time", '"1h"')
    assert entries["project.NAME.trunk"][1:3] == ("URL or path", "")
    assert entries["project.NAME.tests.command"][1:3] == ("text or list of texts", "")
    assert entries["project.NAME.approve.trusted"][1:3] == ("list of texts", "unset")
    assert entries["forge.local.path"][1:3] == ("path", "unset")
    assert entries["vcs.rewrite"][1:3] == ("table of texts", "{}")
