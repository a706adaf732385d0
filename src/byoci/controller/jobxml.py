"""Reading a config.xml so that nothing in it is dropped silently.

A `Part` is an element that is being read. Whoever reads one asks for each child by name; what nobody asked for, and
every value that the controller cannot honour, is a `Refusal` with its path and the key of jenkins-job-builder that
makes it. All refusals of a file are told at once.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import ParseError

from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_LARGEST: Final = 4 * 1024**2  # bytes
_MOST_TOLD: Final = 50
# Expat knows XML 1.0 only; Jenkins writes 1.1, which differs in control characters and in nothing else that matters.
_VERSION: Final = re.compile(rb"""^(\s*<\?xml\s+version\s*=\s*["'])1\.1(?=["'])""")
_ATTRIBUTES: Final = {"class", "plugin"}  # others point to other elements, which nobody here follows
_GENERAL: Final = {  # what jenkins-job-builder does not make in a function of the key's own, or of pieces
    "hudson.plugins.parameterizedtrigger.BuildTrigger": "publishers: trigger-parameterized-builds",
    "scmCheckoutRetryCount": "retry-count",
    "jdk": "jdk",
    "logRotator": "logrotate",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """An element that the controller does not run.

    path  from the root, as `project/publishers/hudson.tasks.Mailer[2]/recipients`
    key   of jenkins-job-builder, as `publishers: email`; "" where none is known
    """

    path: str
    key: str
    why: str

    def __str__(self) -> str:
        made_by = f" (jenkins-job-builder: {self.key})" if self.key else ""
        return f"{self.path}{made_by}: {self.why}"


class JobRefusedError(UsageError):
    """A config.xml asks for what the controller does not do; nothing was saved."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        shown = [str(refusal)[:600] for refusal in refusals[:_MOST_TOLD]]
        if len(refusals) > len(shown):
            shown.append(f"and {len(refusals) - len(shown)} more")
        super().__init__(
            "this job asks for what the controller does not do",
            details="\n".join(shown),
            resolution="Take these out of the job, or run it on a Jenkins that has the plugins for them.",
        )
        self.refusals = refusals


@functools.cache
def _keys() -> dict[str, str]:
    """Element name → key of jenkins-job-builder; made by tests/contract/jjb_keys.py from that program's own code."""
    text = resources.files(__package__).joinpath("jjb_keys.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t", 1) for line in text.splitlines())


def key_of(name: str) -> str:
    """The key of jenkins-job-builder that makes an element of this name, or class; "" where none is known."""
    return _GENERAL.get(name) or _keys().get(name) or _keys().get(name.replace("__", "_"), "")


def parse_xml(data: bytes) -> Element:
    """The root of an XML document without a document type. Raises `UsageError` for anything else."""
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    if len(data) > _LARGEST:
        raise UsageError(f"an XML document of {len(data)} bytes is too large", details=f"At most {_LARGEST} bytes.")
    try:
        root: Element = fromstring(_VERSION.sub(rb"\g<1>1.0", data), forbid_dtd=True)
    except (ParseError, DefusedXmlException, LookupError, ValueError) as error:  # LookupError: an unknown encoding
        raise UsageError("this is no XML that can be read", details=str(error)[:500]) from error
    return root


class Part:
    """An element that is being read; see the module."""

    def __init__(self, element: Element, path: str, key: str, refusals: list[Refusal]) -> None:
        self._element = element
        self._path = path
        self._key = key
        self._refusals = refusals
        self._asked: set[str] = set()

    @property
    def name(self) -> str:
        """The element's name; of one that says its class, that."""
        return self._element.get("class") or self._element.tag

    @property
    def value(self) -> str:
        """The element's own text, where it has no children."""
        return self._element.text or ""

    def text(self, name: str, default: str = "") -> str:
        """The text of a child, which has no children of its own; `default` where there is none."""
        child = self._only(name)
        if child is None:
            return default
        if len(child):
            self._refuse_child(child, "has elements where text is expected")
        return child.text or ""

    def flag(self, name: str, *, default: bool = False) -> bool:
        """The child's truth value."""
        text = self.text(name).strip()
        if text not in ("", "true", "false"):
            self.refuse(f"is “{text[:50]}”, not true or false", name)
        return text == "true" if text else default

    def number(self, name: str) -> int | None:
        """The child's number, from 0 on; None where there is none, or -1 (Jenkins' word for none)."""
        text = self.text(name).strip()
        if text in ("", "-1"):
            return None
        if not re.fullmatch(r"[0-9]{1,9}", text):
            self.refuse(f"is “{text[:50]}”, not a number", name)
            return None
        return int(text)

    def only(self, name: str, *values: str) -> None:
        """The child may be there, with one of these values: all others ask for what the controller does not do."""
        text = self.text(name).strip()
        if text and text not in values:
            self.refuse(f"is “{text[:50]}”, which the controller does not do", name)

    def part(self, name: str) -> Part | None:
        """The child as a part of its own, which the caller reads to its end."""
        child = self._only(name)
        return None if child is None else self._part(child)

    def parts(self, name: str | None = None) -> Iterator[Part]:
        """All children with that name, or all that there are, each to be read to its end."""
        for child in self._element:
            if name is None or child.tag == name:
                self._asked.add(child.tag)
                yield self._part(child)

    def refuse(self, why: str, name: str = "") -> None:
        """The element, or its child `name`, is not what the controller does."""
        path = f"{self._path}/{name}" if name else self._path
        self._refusals.append(Refusal(path, self._key or key_of(name), why))

    def end(self) -> None:
        """Everything was asked for that the controller knows: what is left is refused."""
        for child in self._element:
            if child.tag not in self._asked:
                self._asked.add(child.tag)
                self._refuse_child(child, "is not known to the controller")

    def _only(self, name: str) -> Element | None:
        self._asked.add(name)
        found = self._element.findall(f"./{name}")
        if len(found) > 1:
            self.refuse("is there more than once", name)
        return found[0] if found else None

    def _part(self, child: Element) -> Part:
        part = Part(child, self._path_of(child), self._key_of(child), self._refusals)
        for attribute in sorted(set(child.attrib) - _ATTRIBUTES):
            part.refuse(f"has the attribute {attribute[:50]}, which is not known to the controller")
        return part

    def _key_of(self, child: Element) -> str:
        if self._element.tag == "configs":  # settings of what is around them, whoever else has such, too
            return self._key
        key = key_of(child.get("class") or child.tag) or key_of(child.tag)
        return self._key if not key or ("," in key and self._key) else key  # "," where several keys make it

    def _path_of(self, child: Element) -> str:
        same = [element for element in self._element if element.tag == child.tag]
        place = f"[{same.index(child) + 1}]" if len(same) > 1 else ""
        return f"{self._path}/{child.tag[:200]}{place}"

    def _refuse_child(self, child: Element, why: str) -> None:
        self._refusals.append(Refusal(self._path_of(child), self._key_of(child), why))


def root_part(root: Element) -> tuple[Part, list[Refusal]]:
    """The part to begin with, and the list that refusals are put into."""
    refusals: list[Refusal] = []
    return Part(root, root.tag[:200], "", refusals), refusals


def names_told_twice(names: list[str]) -> list[str]:
    """Those that are in the list more than once."""
    return [name for name, count in Counter(names).items() if count > 1]
