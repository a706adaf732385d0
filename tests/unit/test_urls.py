"""What a URL names, what is refused, and what a message shows of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from byoci.errors import RejectedError
from byoci.vcs import urls
from byoci.vcs.urls import UrlPolicy, admit, parse, rewritten, shown

pytestmark = pytest.mark.agent

REMOTE = UrlPolicy()
LOCAL = UrlPolicy(local=True)


@pytest.mark.parametrize(
    ("url", "scheme", "text"),
    [
        ("https://example.com/a.git", "https", "https://example.com/a.git"),
        ("HTTPS://example.com/a.git", "https", "https://example.com/a.git"),
        ("http://example.com:8080/a", "http", "http://example.com:8080/a"),
        ("ssh://git@example.com:2222/~me/a", "ssh", "ssh://git@example.com:2222/~me/a"),
        ("git@example.com:team/a.git", "ssh", "git@example.com:team/a.git"),
        ("[::1]:team/a.git", "ssh", "[::1]:team/a.git"),
        ("example.com:a", "ssh", "example.com:a"),
        ("ssh://git@[fe80::1%25eth0]:22/a", "ssh", "ssh://git@[fe80::1%25eth0]:22/a"),
        ("my_host.local:a", "ssh", "my_host.local:a"),
        ("bzr+ssh://bazaar.example.com/a", "bzr+ssh", "bzr+ssh://bazaar.example.com/a"),
        ("git://example.com/a", "git", "git://example.com/a"),
    ],
)
def test_remote_places(url: str, scheme: str, text: str) -> None:
    place = admit(url, REMOTE, {})
    assert (place.scheme, place.text, place.local) == (scheme, text, False)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/srv/a.git", "/srv/a.git"),
        ("/srv/odd:name", "/srv/odd:name"),
        ("file:///srv/a%20b", "/srv/a b"),
        ("FILE:///srv/a", "/srv/a"),
        ("file://localhost/srv/a", "/srv/a"),
        ("file:/srv/a", "/srv/a"),
    ],
)
def test_paths_are_for_trunk_and_the_local_forge_only(url: str, path: str) -> None:
    assert admit(url, LOCAL, {}).path == Path(path)
    with pytest.raises(RejectedError):
        admit(url, REMOTE, {})


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert parse("~/src/hello.git").text == "/home/ann/src/hello.git"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "-",
        "--upload-pack=touch /tmp/x",
        "-oProxyCommand=x",
        "ext::sh -c 'touch /tmp/x'",
        "EXT::sh",
        "fd::17",
        "foo::https://example.com/a",
        "https::https://example.com/a",
        "ssh://-oProxyCommand=x/a",
        "ssh://%2doProxyCommand=x/a",
        "ssh://-oProxyCommand=x@host/a",
        "ssh://host/-a",
        "-oProxyCommand=x:a",
        "-user@host:a",
        "user@-oProxyCommand=x:a",
        "host:-a",
        ";::",
        "a;b:c",
        "$(touch x):c",
        "`touch x`@host:c",
        "a b@host:c",
        "ssh://a;b/c",
        "ssh://a%3Bb/c",
        "ssh://$(touch%20x)@host/c",
        "bzr+ssh://u|v@host/c",
        "git://a&b/c",
        "https://a;b/c",
        "host:",
        "relative/path",
        "relative",
        "./relative",
        "file:relative",
        "file://elsewhere/srv/a",
        "https://",
        "https:///a",
        "https://example.com:port/a",
        "https://example.com/a\nhost=evil",
        "https://example.com/a%0ahost=evil",
        "https://example.com/a%00",
        "/srv/a\n",
        "~root/a",
    ],
)
def test_what_only_looks_like_a_place_is_refused(url: str) -> None:
    with pytest.raises(RejectedError):
        parse(url)


@pytest.mark.parametrize("url", ["ftp://example.com/a", "rsync://example.com/a", "chroot-1://x/a", "lp://a/b"])
def test_other_schemes_are_refused_by_name(url: str) -> None:
    with pytest.raises(RejectedError, match="not allowed") as caught:
        admit(url, LOCAL, {})
    assert "https" in caught.value.resolution


def test_a_policy_may_allow_less() -> None:
    policy = UrlPolicy(schemes=frozenset({"https"}))
    assert admit("https://example.com/a", policy, {}).scheme == "https"
    with pytest.raises(RejectedError):
        admit("git@example.com:a", policy, {})


def test_the_longest_prefix_is_rewritten_once() -> None:
    rules = {
        "https://example.com/": "ssh://mirror/",
        "https://example.com/team/": "/srv/team/",
        "ssh://mirror/": "/no/",
    }
    assert rewritten("https://example.com/team/a", rules) == "/srv/team/a"
    assert rewritten("https://example.com/else", rules) == "ssh://mirror/else"
    assert rewritten("https://example.org/", rules) == "https://example.org/"
    assert rewritten("lp:~ann/a", {"lp:": "bzr+ssh://bazaar.example.com/"}) == "bzr+ssh://bazaar.example.com/~ann/a"
    assert rewritten("/x", {"": "/y"}) == "/x"


def test_the_policy_judges_what_a_url_was_rewritten_to() -> None:
    rules = {"https://example.com/": "/srv/mirror/"}
    with pytest.raises(RejectedError):
        admit("https://example.com/a", REMOTE, rules)
    assert admit("https://example.com/a", LOCAL, rules).path == Path("/srv/mirror/a")


@pytest.mark.parametrize(
    ("url", "text", "userinfo"),
    [
        ("https://ann:s%40cret@example.com/a", "https://example.com/a", "ann:s@cret"),
        ("https://token@example.com:8443/a", "https://example.com:8443/a", "token"),
    ],
)
def test_credentials_are_kept_apart(url: str, text: str, userinfo: str) -> None:
    place = parse(url)
    assert (place.text, place.userinfo) == (text, userinfo)
    assert "cret" not in f"{place} {place!r}"
    assert urls.with_userinfo(place) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://ann:s3cret@example.com:port/a",
        "ftp://ann:s3cret@example.com/a",
        "ftp://s3cret@example.com/a",
        "ext::https://ann:s3cret@example.com/a",
        "ssh://ann:s3cret@-x/a",
        "ann:s3cret@host/relative",
    ],
)
def test_no_refusal_tells_a_credential(url: str) -> None:
    with pytest.raises(RejectedError) as caught:
        admit(url, UrlPolicy(schemes=frozenset()), {})
    assert "s3cret" not in str(caught.value)


def test_messages_keep_an_ssh_user_and_show_escape_sequences() -> None:
    assert shown("ssh://git@example.com/a") == "ssh://git@example.com/a"
    assert shown("git@example.com:a") == "git@example.com:a"
    assert "\x1b" not in shown("https://example.com/\x1b[31m")


@example("0:0::")
@example("user@host::path")
@given(st.text(max_size=60) | st.from_regex(r"[a-z+-]{0,5}:{0,2}/{0,3}[a-z@:%\[\].-]{0,30}", fullmatch=True))
def test_whatever_is_admitted_is_no_option_and_no_command(url: str) -> None:
    try:
        place = admit(url, LOCAL, {})
    except RejectedError:
        return
    assert not place.text.startswith("-")
    assert place.scheme == "file" or place.scheme in urls.DEFAULT_SCHEMES
    assert place.text.startswith("/") == place.local
    assert "::" not in place.text.partition("/")[0].partition("[")[0]
    assert not any(ord(char) < 32 for char in place.text)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_what_is_admitted_is_admitted_again_unchanged(host: str, path: str) -> None:
    for url in (f"https://{host}/{path}", f"{host}:{path}", f"/{path}"):
        try:
            place = admit(url, LOCAL, {})
        except RejectedError:
            continue
        assert admit(place.text, LOCAL, {}).text == place.text
