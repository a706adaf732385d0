"""How long byoci takes to start: a person waits for it with every command and every completion."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import byoci
from benchmarks.runner import Figure, interleaved, milliseconds
from byoci import proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.runner import Tell

ROUNDS: Final = 21
COMMANDS: Final = ((("--help",), 250.0), (("land", "--help"), None), (("--version",), None))


def program(home: str, *arguments: str) -> Callable[[], float]:
    """Runs Python with the arguments, and tells how long that took."""
    environment = proc.base_environment() | {"HOME": home, "PYTHONPATH": str(Path(byoci.__file__).parents[1])}
    return lambda: milliseconds(lambda: proc.run([sys.executable, *arguments], env=environment))


def measure(tell: Tell) -> Iterator[Figure]:
    """`byoci --help`, the help of a command, and the version, each against a Python that does nothing."""
    with tempfile.TemporaryDirectory(prefix="byoci-benchmark-") as home:
        for words, target in COMMANDS:
            tell(f"byoci {' '.join(words)}, {ROUNDS} rounds")
            byoci_runs = program(home, "-c", "from byoci.cli.main import main; main()", *words)
            ours, bare = interleaved(ROUNDS, byoci_runs, program(home, "-c", "pass"))
            yield Figure(f"byoci {' '.join(words)}", "ms", ours, "python -c pass", bare, target, absolute=True)
