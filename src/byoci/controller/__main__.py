"""The controller's process: `python -m byoci.controller [OPTION]... STATE-FOLDER PORT`.

`byoci up` starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from byoci import log
from byoci.controller.background import Serving, hold
from byoci.controller.bounds import USUAL, Bounds
from byoci.controller.serve import serve
from byoci.errors import ByociError


def main() -> int:
    """Serve; errors are told on standard error."""
    parser = argparse.ArgumentParser(prog="byoci.controller")
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--url", default="")
    parser.add_argument("--most", type=int, nargs=3, default=USUAL.words(), metavar=("LOG", "ARTIFACTS", "FILES"))
    parser.add_argument("--held", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("home", type=Path)
    parser.add_argument("port", type=int)
    given = parser.parse_args()
    log.configure(1)
    bounds = Bounds(*map(int, given.most))
    try:
        held = hold(given.home, given.held)
        again = asyncio.run(serve(given.home, Serving(given.port, given.listen, given.url, bounds)))
    except ByociError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if again is not None:
        # As it was started, with the code that is installed now, and at the same address. Whoever looks meanwhile finds
        # it running: the folder stays held.
        os.set_inheritable(held, True)
        python = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv[1:])]
        options = ("--listen", given.listen, "--url", given.url, "--most", *bounds.words(), "--held", str(held))
        argv = [sys.executable, *python, *options, str(given.home), str(again)]
        os.execv(sys.executable, argv)  # noqa: S606 - no shell is wanted
    return 0


if __name__ == "__main__":
    sys.exit(main())
