"""`python -m benchmarks [NAME…] [--json]`: measure, and tell which targets are met.

The exit code tells whether it could be measured, not whether targets are met: that depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback

from benchmarks import runner


def tell(line: str) -> None:
    """Progress goes to standard error, so that standard output is the result alone."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmarks that the command line names."""
    measures = runner.found()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure byoci against bare commands.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(measures)}; without any: all")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(measures))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(measures)}")
    figures: list[runner.Figure] = []
    failed = False
    for name in options.names or measures:
        tell(f"{name} …")
        try:
            figures += measures[name](lambda line: tell(f"  {line}"))
        except Exception:  # noqa: BLE001 - the others can be measured still
            traceback.print_exc()
            failed = True
    print(json.dumps([figure.as_json() for figure in figures], indent=2) if options.json else runner.table(figures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
