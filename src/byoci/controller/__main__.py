"""The controller's process: `python -m byoci.controller STATE-FOLDER PORT`, which `byoci up` starts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from byoci import log
from byoci.controller.serve import serve
from byoci.errors import ByociError


def main() -> int:
    """Serve; errors are told on standard error."""
    log.configure(1)
    try:
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
    except ByociError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
