"""The elements of a config.xml that tell what comes after a build's steps: what is kept, cleaned, told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from byoci.config.network import MAIL_ADDRESS
from byoci.controller.job import Artifacts, Cleanup, Fingerprints, Mailing, Patterns, Result, Retry, TestReports
from byoci.controller.jobxml_after import read_flexible, read_post_build
from byoci.controller.jobxml_downstream import read_parameterized, read_trigger
from byoci.controller.jobxml_steps import job_names, read_sweep

if TYPE_CHECKING:
    from byoci.controller.jobxml import Part


def _artifacts(part: Part) -> dict[str, Any]:
    part.only("latestOnly", "false")
    part.only("defaultExcludes", "true")
    part.only("caseSensitive", "true")
    part.only("followSymlinks", "false")
    files = Patterns(job_names(part.text("artifacts")), job_names(part.text("excludes")))
    return {
        "artifacts": (
            Artifacts(files, part.flag("allowEmptyArchive"), part.flag("onlyIfSuccessful"), part.flag("fingerprint")),
        )
    }


def _junit(part: Part) -> dict[str, Any]:
    part.flag("keepLongStdio")  # all output is kept
    part.flag("skipPublishingChecks")  # there is nowhere to publish them to
    part.only("healthScaleFactor", "1.0", "1")
    publishers = part.part("testDataPublishers")
    if publishers:
        publishers.end()
    files = Patterns(job_names(part.text("testResults")))
    empty, never = part.flag("allowEmptyResults"), part.flag("skipMarkingBuildUnstable")
    return {"tests": (TestReports(files, empty, never),)}


def _mail(part: Part) -> dict[str, Any]:
    to = tuple(part.text("recipients").replace(",", " ").split())
    for address in to:
        if not MAIL_ADDRESS.fullmatch(address):
            part.refuse(f"has {address[:50]!a}, which is no address", "recipients")
    individuals = part.flag("sendToIndividuals")
    if not to and not individuals:
        part.refuse("has nobody to send to", "recipients")
    return {"mailings": (Mailing(to, not part.flag("dontNotifyEveryUnstableBuild"), individuals),)}


def _fingerprints(part: Part) -> dict[str, Any]:
    files = Patterns(job_names(part.text("targets")))
    return {"fingerprints": (Fingerprints(files, part.flag("recordBuildArtifacts")),)}


def _clean_after(part: Part) -> dict[str, Any]:
    part.only("cleanupMatrixParent", "false")
    part.only("skipWhenFailed", "false")
    part.only("notFailBuild", "true", "false")  # what cannot be removed is told in the log
    flags = {
        Result.SUCCESS: "cleanWhenSuccess",
        Result.UNSTABLE: "cleanWhenUnstable",
        Result.FAILURE: "cleanWhenFailure",
        Result.NOT_BUILT: "cleanWhenNotBuilt",
        Result.ABORTED: "cleanWhenAborted",
    }
    results = [result for result, name in flags.items() if part.flag(name, default=True)]
    return {"cleanup": (Cleanup(frozenset(results), read_sweep(part)),)}


def _retry(part: Part) -> dict[str, Any]:
    part.only("checkRegexp", "false")
    part.text("regexpForRerun")
    part.only("rerunMatrixPart", "false")
    unstable, most = part.flag("rerunIfUnstable"), part.number("maxSchedule") or 0
    delay = part.part("delay")
    kind = delay.name if delay else ""
    if delay is None or kind == f"{_NAGINATOR}FixedDelay":
        found = Retry(unstable, most, (delay.number("delay") if delay else 0) or 0)
    elif kind == f"{_NAGINATOR}ProgressiveDelay":
        found = Retry(
            unstable, most, delay.number("increment") or 0, progressive=True, longest=delay.number("max") or 0
        )
    else:
        delay.refuse("is not known to the controller")
        found = Retry()
    if delay:
        delay.end()
    return {"retry": found}


_NAGINATOR: Final = "com.chikli.hudson.plugin.naginator."
_CONDITIONAL: Final = {  # what may depend on a condition
    "hudson.tasks.BuildTrigger": read_trigger,
    "hudson.plugins.parameterizedtrigger.BuildTrigger": read_parameterized,
    "hudson.plugins.ws__cleanup.WsCleanup": _clean_after,
    "hudson.tasks.Mailer": _mail,
    "hudson.tasks.ArtifactArchiver": _artifacts,
    "hudson.tasks.junit.JUnitResultArchiver": _junit,
}
PUBLISHERS: Final = {
    **_CONDITIONAL,
    "hudson.tasks.Fingerprinter": _fingerprints,
    f"{_NAGINATOR}NaginatorPublisher": _retry,
    "org.jenkins__ci.plugins.flexible__publish.FlexiblePublisher": lambda part: read_flexible(part, _CONDITIONAL),
    "org.jenkinsci.plugins.postbuildscript.PostBuildScript": read_post_build,
}
