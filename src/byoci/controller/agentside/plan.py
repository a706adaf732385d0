"""What a build is told to do, as types: nothing of this is sent to agents."""

from __future__ import annotations

from typing import Any, TypedDict


class Limit(TypedDict):
    """Seconds from the start, or (`idle`) from the last output; whether the build `fails` then or is aborted."""

    seconds: float
    idle: bool
    fails: bool


class Plan(TypedDict):
    """What to do.

    header       what the log begins with; {workspace} is filled in
    workspace    a path, in which variables and `~` are filled in
    turn         which of the job's builds at once on this agent it is, from 1 on
    environment  NAME → VALUE, complete but for what the agent adds: HOME, PATH, USER and the like
    before       lines NAME=VALUE for the environment, one text after the other
    secrets      what is masked in the log
    steps        `{"inject": LINES, "file": PATH}`, `{"shell": SCRIPT, "unstable": STATUS or None}`,
                 `{"if": CONDITION, "unclear": WHAT THEN, "steps": [...]}`, or
                 `{"trigger": NUMBER, "read": [PATH, ...], "wait": THRESHOLDS or None, ...}`
    after        `{"steps": [...], "results": [...], "unstable": BOOL}`, done last if the result is one of them
    conditions   what the end of the build depends on; told settled
    clean        what is removed before, see `sweep`
    keep         groups of patterns, `{"includes": [...], "excludes": [...]}`
    prints       the same, of files whose digests are told
    read         paths of files whose texts are told
    most         what is kept at most: `log` and `artifacts` in bytes, `files` of artifacts
    """

    header: str
    workspace: str
    turn: int
    clean: list[dict[str, Any]]
    environment: dict[str, str]
    before: list[str]
    secrets: list[str]
    timestamps: bool
    limits: list[Limit]
    steps: list[dict[str, Any]]
    after: list[dict[str, Any]]
    conditions: list[dict[str, Any]]
    keep: list[dict[str, list[str]]]
    prints: list[dict[str, list[str]]]
    read: list[str]
    most: dict[str, int]
