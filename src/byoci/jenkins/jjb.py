"""Jobs that the definition has in jenkins-job-builder's words, rendered by that program.

It is run as a program, since it needs libraries of an older time in an environment of its own (docs/decisions).
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from byoci import proc
from byoci.errors import ConfigError, ProgramError, ProgramMissingError
from byoci.jenkins.landing_job import MANAGED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE: Final = 300.0  # seconds for thousands of jobs
_SETTINGS: Final = "[job_builder]\n[jenkins]\nurl=http://127.0.0.1:9/\nquery_plugins_info=False\n"  # nobody is asked
_DESCRIPTION: Final = re.compile(r"<description>|<description\s*/>")
_FOOTER: Final = "&lt;!-- Managed by Jenkins Job Builder --&gt;"


def render(
    folder: Path, program: str, templates: Sequence[str], projects: Sequence[Mapping[str, str]]
) -> dict[str, str]:
    """The jobs that the YAML files in `folder` make: name → config.xml, marked as byoci's.

    program    jenkins-job-builder's `jenkins-jobs`
    templates  names of job templates that are made for each of the projects, whose values they are given

    Raises `ConfigError` with the program's words where it refuses them, `ProgramMissingError` where it is not there.
    """
    with tempfile.TemporaryDirectory(prefix="byoci-jobs-") as scratch:
        settings, values, made = Path(scratch, "settings.ini"), Path(scratch, "byoci.yaml"), Path(scratch, "made")
        settings.write_text(_SETTINGS)
        values.write_text(json.dumps([_values(project, templates) for project in projects] if templates else []))
        sources = f"{folder}:{values}" if templates else str(folder)
        arguments = ("--conf", str(settings), "test", "--config-xml", "-o", str(made), sources)
        try:
            proc.run((program, *arguments), env=proc.base_environment(), cwd=folder, timeout=_PATIENCE)
        except ProgramMissingError as error:
            raise ConfigError(
                f"{folder} has jobs for jenkins-job-builder, which is not there",
                details=f"There is no program {program}.",
                resolution="Install it, in an environment of its own, and name its program: jobs.builder.",
            ) from error
        except ProgramError as error:
            raise ConfigError(
                f"jenkins-job-builder refuses the jobs in {folder}", details=error.details[-4000:]
            ) from error
        found = sorted(made.rglob("config.xml"))
        return {str(path.parent.relative_to(made)): _marked(path.read_text(encoding="utf-8")) for path in found}


def _values(project: Mapping[str, str], templates: Sequence[str]) -> dict[str, object]:
    """A `project` of jenkins-job-builder, as JSON, which is YAML; braces would be taken for its variables."""
    told = {name: value.replace("{", "{{").replace("}", "}}") for name, value in project.items()}
    return {"project": {**told, "name": f"byoci {project['project']}", "jobs": list(templates)}}


def _marked(config: str) -> str:
    """The same with a description, the job's own, that says whose it is."""
    config = config.replace(_FOOTER, "", 1)
    mark = escape(f"{MANAGED}. ")
    start = _DESCRIPTION.search(config)
    if start is None:  # an element always stands in the root
        return re.sub(
            r"(<[a-zA-Z][^>?]*>)", lambda root: f"{root[1]}<description>{mark}</description>", config, count=1
        )
    end = "" if start[0] == "<description>" else "</description>"
    return f"{config[: start.start()]}<description>{mark}{end}{config[start.end() :]}"
