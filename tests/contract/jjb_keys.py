"""Which key of jenkins-job-builder makes which element of a config.xml, told by its own functions.

The table that the controller refuses unknown elements with is what this program prints; it runs with the clients'
Python: .cache/clients/environment/bin/python tests/contract/jjb_keys.py >src/byoci/controller/jjb_keys.tsv
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
import textwrap

MODULES = ("properties", "parameters", "scm", "triggers", "builders", "publishers", "wrappers", "notifications")
ROOTS = "hudson|jenkins|org|com|net|io|au|de|jp|ru|be|se|me|biz|fr|it|xyz|uk|eu|nl|cz|ch|no"
KINDS = "Wrapper|Publisher|Builder|Trigger|Property|Notifier|Recorder"
CLASS = re.compile(rf"(?:{ROOTS})[._][\w.$-]{{9,}}\w|[A-Z][A-Za-z]+(?:{KINDS})")


def main() -> None:
    keys: dict[str, set[str]] = {}
    for part in MODULES:
        module = importlib.import_module(f"jenkins_jobs.modules.{part}")
        for function in vars(module).values():
            if not inspect.isfunction(function) or function.__module__ != module.__name__:
                continue
            named = re.match(r"\s*yaml: ([\w-]+)", function.__doc__ or "")
            if not named:
                continue
            for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and CLASS.fullmatch(node.value):
                    keys.setdefault(node.value, set()).add(f"{part}: {named[1]}")
    for tag, found in sorted(keys.items()):
        sys.stdout.write(f"{tag}\t{', '.join(sorted(found))}\n")


if __name__ == "__main__":
    main()
