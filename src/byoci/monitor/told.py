"""What the monitor tells programs: the documented JSON objects, and metrics as Prometheus reads them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from byoci.monitor.forecast import expected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from byoci.monitor.board import Agents, Seen, Tile
    from byoci.monitor.live import Tail
    from byoci.monitor.values import Started

_HELP: Final = {
    "byoci_proposals": ("gauge", "Open proposals; landable ones may land."),
    "byoci_landing": ("gauge", "Whether a landing is under way."),
    "byoci_frozen": ("gauge", "Whether only hotfixes land."),
    "byoci_trouble": ("gauge", "Whether the forge or the controller could not be asked."),
    "byoci_agents": ("gauge", "Agents, online or offline, as the controller told last."),
    "byoci_landings_total": ("counter", "Landings that ended, by outcome."),
}


def project(tile: Tile, now: float) -> dict[str, Any]:
    """A project: its queue in the order of turns, what waits and why, and what lands now."""
    queue = zip(tile.ready, expected(tile, now), strict=True)
    return {
        "project": tile.project,
        "state": tile.state[1],
        "trunk": tile.trunk,
        "forge": tile.forge,
        "trouble": tile.trouble,
        "freeze": tile.freeze and {"reason": tile.freeze.reason, "by": tile.freeze.person, "at": tile.freeze.at},
        "landing": tile.landing and landing(tile.landing),
        "record": {"ended": tile.record.ended, "landed": tile.record.landed, "usual": tile.record.usual},
        "queue": [{**_proposal(item), "eta": eta} for item, eta in queue],
        "waiting": [_proposal(item) for item in tile.waiting],
    }


def log(tail: Tail | None) -> dict[str, Any] | None:
    """What the landing under way has printed; null where there is none, or nothing of it."""
    return None if tail is None else {"text": tail.text(), "cut": tail.cut, "away": tail.away}


def agents(known: Agents) -> dict[str, Any]:
    """The agents; `at` is when the controller told, in seconds since 1970, or null."""
    rows = [
        {
            "name": one.name,
            "online": not one.offline,
            "reason": one.reason,
            "executors": one.executors,
            "idle": one.idle,
        }
        for one in known.computers
    ]
    return {"agents": rows, "at": known.at, "trouble": known.trouble}


def landing(item: Started) -> dict[str, Any]:
    """A landing; times are seconds since 1970, and null for what has not happened yet."""
    return {
        "project": item.project,
        "proposal": item.proposal,
        "title": item.title,
        "asked": item.asked,
        "started": item.started,
        "ended": item.ended,
        "build": item.number,
        "url": item.url,
        "outcome": item.outcome and item.outcome.value,
        "revision": item.revision,
        "reasons": list(item.reasons),
    }


def _proposal(item: Seen) -> dict[str, Any]:
    proposal = item.proposal
    return {
        "proposal": proposal.id,
        "title": proposal.title,
        "author": proposal.author,
        "status": proposal.status.value,
        "source": str(proposal.source),
        "url": proposal.url,
        "hotfix": item.hotfix,
        "reasons": list(item.reasons),
        "ballot": item.words,
    }


def metrics(tiles: Sequence[Tile], counts: Mapping[tuple[str, str], int], known: Agents) -> str:
    """The text format of Prometheus."""
    series: dict[str, list[tuple[dict[str, str], int]]] = {name: [] for name in _HELP}
    for tile in tiles:
        label = {"project": tile.project}
        for state, found in (("landable", tile.ready), ("waiting", tile.waiting)):
            series["byoci_proposals"].append(({**label, "state": state}, len(found)))
        series["byoci_landing"].append((label, int(tile.landing is not None)))
        series["byoci_frozen"].append((label, int(tile.freeze is not None)))
        series["byoci_trouble"].append((label, int(bool(tile.trouble))))
    for state, offline in (("online", False), ("offline", True)):
        number = sum(one.offline is offline for one in known.computers)
        series["byoci_agents"].append(({"state": state}, number))
    for (name, outcome), count in sorted(counts.items()):
        series["byoci_landings_total"].append(({"project": name, "outcome": outcome}, count))
    return "".join(line for name, samples in series.items() for line in _lines(name, samples))


def _lines(name: str, samples: Iterable[tuple[Mapping[str, str], int]]) -> Iterator[str]:
    kind, meaning = _HELP[name]
    yield f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{inside}}} {value}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
