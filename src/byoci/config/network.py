"""Hosts, users, addresses and keys as people write them in the configuration; each check as those in values.py."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

LOOPBACK_AGENT: Final = "loopback"
_HOST: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_PLUGIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(?::[A-Za-z0-9][A-Za-z0-9._+-]{0,99})?")
MAIL_ADDRESS: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*@[A-Za-z0-9][A-Za-z0-9.-]*")
_LABEL: Final = re.compile(r"[A-Za-z0-9_.+-]{1,100}")
_KEY_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def check_host(text: str) -> str:
    """A host's name or address."""
    if not _HOST.fullmatch(text):
        raise ValueError('must be the name or address of a host, such as "big.example.com"')
    return text


def check_user(text: str) -> str:
    """The name of a unix user or group."""
    if not _USER.fullmatch(text):
        raise ValueError('must be the name of a user or group of that machine, such as "jenkins"')
    return text


def check_label(text: str) -> str:
    """A label of an agent: what a label expression can say."""
    if not _LABEL.fullmatch(text):
        raise ValueError("must hold labels: letters, digits and . _ + -")
    return text


def check_plugin(text: str) -> str:
    """A plugin of a Jenkins, by its short name, perhaps with a version."""
    if not _PLUGIN.fullmatch(text):
        raise ValueError('must hold plugins, such as "git" or "git:5.2.0"')
    return text


def check_account(text: str) -> str:
    """The name of an account on a server: what HTTP Basic can say."""
    if ":" in text or not text.isascii():
        raise ValueError('must be the name of an account there, such as "byoci"')
    return text


def check_agent(name: str) -> str:
    """The name of an agent."""
    if name == LOOPBACK_AGENT:
        raise ValueError("is the name of the agent that byoci up makes: choose another one")
    return name


def check_host_key(text: str) -> str:
    """A public host key; gives its type and its base64, without what comes after these."""
    kind, _, rest = text.strip().partition(" ")
    data = rest.split()[:1]
    try:
        decoded = base64.b64decode(data[0], validate=True) if data else b""
    except binascii.Error:
        decoded = b""
    if kind not in _KEY_KINDS or not decoded[4:].startswith(kind.encode()):
        raise ValueError("must hold public keys, each as in the file /etc/ssh/ssh_host_ed25519_key.pub of that machine")
    return f"{kind} {data[0]}"


def check_address(text: str) -> str:
    """An address of this machine."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise ValueError('must be an address of this machine, such as "127.0.0.1" or "::1"') from error


def check_web_url(text: str) -> str:
    """The address of a site, with a slash at its end."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        good = None
    if not good or parts.query or parts.fragment or parts.username is not None or not text.isascii() or " " in text:
        raise ValueError('must be an address such as "https://ci.example.com/"')
    return text.rstrip("/") + "/"


def check_hook_url(text: str) -> str:
    """The address of a program that is told something: of this machine, or over https."""
    try:
        parts = urlsplit(text)
        good = parts.hostname and (parts.port or 1) and parts.username is None
        safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    except ValueError:
        good = safe = False
    if not good or not safe or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError('must be an address such as "https://chat.example.com/hook"')
    return text


def check_mail_address(text: str) -> str:
    """Where mail is sent to."""
    if not MAIL_ADDRESS.fullmatch(text) or len(text) > 254:
        raise ValueError('must be an address such as "team@example.com"')
    return text


def check_not_in_clear(address: str, url: str | None, what: str) -> None:
    """That a server which speaks plain http listens at this machine only, or behind something that speaks https.

    what  what would be open otherwise, for the words of the error
    """
    if not is_loopback(address) and not (url or "").startswith("https://"):
        raise ValueError(f"listens beyond this machine, where {what}: set an https url")


def check_asked_not_in_clear(url: str, what: str) -> None:
    """That a server elsewhere is asked over https only; `what` would be open otherwise."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"is asked beyond this machine over http, where {what}: set an https url")


def is_loopback(host: str) -> bool:
    """Whether that is this machine, for certain."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
