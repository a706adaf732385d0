"""The types that the configuration's keys have, and what all its tables share. See schema.py."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - pydantic may read it
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
)

from byoci.config import network, values
from byoci.config.trunks import resolve_path, resolve_trunk
from byoci.model import Location

NOT_YET: Final = "not in this version"


def one_of(known: tuple[str, ...], later: tuple[str, ...] = ()) -> AfterValidator:
    """A text that is one of these; those of a `later` version are refused in words that tell so."""

    def check(value: str) -> str:
        if value in known:
            return value
        words = " or ".join(f'"{name}"' for name in known)
        raise ValueError(f"is {NOT_YET}: use {words}" if value in later else f"must be {words}")

    return AfterValidator(check)


def as_tuple(value: object) -> object:
    """A list as a tuple, which nobody can change; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def _as_commands(value: object) -> object:
    commands = (value,) if isinstance(value, str) else as_tuple(value)
    if not isinstance(commands, tuple) or not commands or not all(isinstance(command, str) for command in commands):
        raise ValueError("must be a shell command, or a list of them, none of them empty")
    return commands


def _as_trunk(value: object, info: ValidationInfo) -> Location:
    if not isinstance(value, str):
        raise ValueError("must be text: a URL or path, and after a ; the branch's name")  # noqa: TRY004 - pydantic's
    return resolve_trunk(value, *_starts(info))


def _as_path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str):
        raise ValueError("must be text: a path")  # noqa: TRY004 - pydantic's rule
    return Path(resolve_path(values.check_line(value), *_starts(info)))


def _starts(info: ValidationInfo) -> tuple[Path, Path]:
    assert info.context is not None
    return info.context["folder"], info.context["home"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a type is called in the reference, and how its values are written where TOML has no type for them."""

    words: str
    write: Callable[[Any], object] | None = None


Name = Annotated[str, AfterValidator(values.check_name)]
AgentName = Annotated[str, AfterValidator(values.check_name), AfterValidator(network.check_agent)]
Line = Annotated[str, AfterValidator(values.check_line)]
Text = Annotated[str, AfterValidator(values.check_text)]
Word = Annotated[str, AfterValidator(values.check_word)]
Words = Annotated[tuple[Word, ...], BeforeValidator(as_tuple)]
Inside = Annotated[str, AfterValidator(values.check_inside)]
Insides = Annotated[tuple[Inside, ...], BeforeValidator(as_tuple)]
Command = Annotated[str, AfterValidator(values.check_command)]
Commands = Annotated[tuple[Command, ...], BeforeValidator(_as_commands), Kind("text or list of texts", list)]
Size = Annotated[int, BeforeValidator(values.parse_size), Kind("size", values.format_size)]
Duration = Annotated[float, BeforeValidator(values.parse_duration), Kind("time", values.format_duration)]
Trunk = Annotated[Location, PlainValidator(_as_trunk), Kind("URL or path", str)]
FilePath = Annotated[Path, PlainValidator(_as_path), Kind("path", str)]
Port = Annotated[int, Field(ge=1, le=65535)]
HostName = Annotated[str, AfterValidator(network.check_host)]
UserName = Annotated[str, AfterValidator(network.check_user)]
HostKey = Annotated[str, AfterValidator(network.check_host_key)]
Labels = Annotated[tuple[Annotated[str, AfterValidator(network.check_label)], ...], BeforeValidator(as_tuple)]
Variable = Annotated[str, AfterValidator(values.check_variable)]


class Section(BaseModel):
    """A table of the configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=False)


class Named(Section):
    """A table that stands under a name of its owner's choice, as `[project.hello]`."""

    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The name that the table stands under."""
        return self._name
