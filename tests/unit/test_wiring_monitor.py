"""Who is told the news, as the configuration says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from byoci.errors import ConfigError
from byoci.wiring import open_site

if TYPE_CHECKING:
    from pathlib import Path

    from byoci.monitor.notifying import Audience

pytestmark = pytest.mark.monitor

CONFIG = """
[site]
landing.fullname = "Landing Bot"
landing.email = "bot@example.com"
[notify]
mail = ["all@example.com"]
on = ["failed"]
[webhook.chat]
[project.hello]
vcs = "git"
trunk = "hello"
tests.command = "true"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYOCI_HOME", str(tmp_path))
    secrets = tmp_path / "testing/secrets/notify"
    secrets.mkdir(parents=True)
    (secrets / "chat").write_text("5ec7e7\n")
    (secrets / "chat.url").write_text("https://chat.example.com/hidden\n")
    return tmp_path


def audience(folder: Path, more: str) -> Audience:
    config = folder / "byoci.toml"
    config.write_text(CONFIG + more)
    return open_site(config, "testing").audience()("hello")


def test_a_project_s_own_words_replace_the_common_ones(folder: Path) -> None:
    common = audience(folder, "")
    assert (common.mail, common.kinds) == (("all@example.com",), {"failed"})
    assert [(hook.url, hook.secret) for hook in common.hooks] == [("https://chat.example.com/hidden", b"5ec7e7")]
    own = audience(folder, 'notify.mail = ["own@example.com"]\nnotify.webhooks = []\nnotify.on = ["landed"]\n')
    assert (own.mail, own.hooks, own.kinds) == (("own@example.com",), (), {"landed"})


def test_what_only_some_may_read_is_told_to_those_alone_whom_the_project_names(folder: Path) -> None:
    hidden = audience(folder, 'readers = ["alice"]\n')
    assert (hidden.mail, hidden.hooks) == ((), ())
    named = audience(folder, 'readers = ["alice"]\nnotify.mail = ["alice@example.com"]\nnotify.webhooks = ["chat"]\n')
    assert (named.mail, [hook.name for hook in named.hooks]) == (("alice@example.com",), ["chat"])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ('notify.webhooks = ["chit"]\n', "names no webhook"),
        ('notify.mail = ["x@example.com\\nBcc: eve@example.com"]\n', "must be an address"),
        ('notify.mail = ["-f@example.com"]\n', "must be an address"),
        ('[webhook.more]\nurl = "http://chat.example.com/"\n', "must be an address"),
        ('[webhook.more]\nurl = "https://chat.example.com/"\n', "cannot be told anything"),
    ],
)
def test_what_cannot_be_told_is_refused(folder: Path, wrong: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        audience(folder, wrong)


def test_an_address_that_is_secret_is_in_no_error(folder: Path) -> None:
    (folder / "testing/secrets/notify/chat.url").write_text("http://chat.example.com/hidden\n")
    with pytest.raises(ConfigError) as caught:
        audience(folder, "")
    assert "hidden" not in str(caught.value)
