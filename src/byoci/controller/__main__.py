"""The controller's process: `python -m byoci.controller STATE-FOLDER PORT`, which `byoci up` starts."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from byoci import log
from byoci.controller.serve import serve
from byoci.errors import ByociError


def main() -> int:
    """Serve; errors are told on standard error."""
    log.configure(1)
    try:
        again = asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
    except ByociError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if again is not None:
        # As it was started, with the code that is installed now, and at the same address.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:-1], str(again)])  # noqa: S606 - no shell is wanted
    return 0


if __name__ == "__main__":
    sys.exit(main())
