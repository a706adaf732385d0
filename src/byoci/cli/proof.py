"""`byoci audit` and `why`: what proves that a commit on trunk was approved and tested."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from byoci.cli import complete, output
from byoci.cli.main import Context, json_option
from byoci.errors import NothingToDoError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from byoci.gate.audit import Audit
    from byoci.gate.certificate import Certificate
    from byoci.model import Location
    from byoci.wiring import Site

_SHOWN = 200  # findings that are told to people


@click.command(short_help="Recompute every landing on a trunk.")
@click.argument(
    "trunk",
    required=False,
    shell_complete=complete.projects,
    help="A project, or URL[;BRANCH].  [default: the project whose repository you are in]",
)
@click.option("--certificates", type=click.Path(path_type=Path), help="Their folder; default: this site's.")
@click.option("--published", is_flag=True, help="Take them from beside TRUNK: git notes, or bzr's sibling branch.")
@click.option(
    "--key", "keys", multiple=True, type=click.Path(path_type=Path), help="The landing key's .pub file; default: ours."
)
@click.option("--vcs", type=click.Choice(["git", "bzr"]), help="What TRUNK is in, where it is no project's.")
@click.option("--since", metavar="REVISION", help="Judge what came after it; default: from the first landing on.")
@click.option("--called", multiple=True, metavar="URL[;BRANCH]", help="What TRUNK was called before.")
@json_option
@click.pass_obj
def audit(  # noqa: PLR0913, PLR0917 - an argument for each option
    context: Context,
    trunk: str | None,
    certificates: Path | None,
    published: bool,
    keys: tuple[Path, ...],
    vcs: str | None,
    since: str | None,
    called: tuple[str, ...],
) -> int:
    """Recompute every landing on TRUNK, check its certificate, and name every commit that no certificate covers.

    Needs TRUNK, the certificates and the public key, and nothing else of the site: anybody can do it.

    \b
      byoci audit hello
      byoci audit https://example.com/hello.git --vcs git --published --key landing.pub
    """
    from byoci.gate import audit as audits
    from byoci.store.certificates import Verifier, in_folder
    from byoci.wiring import shelf_of, vcs_of

    if certificates and published:
        raise UsageError("--certificates and --published exclude each other")
    site = context.site_if_any if (certificates or published) and keys else context.site
    config = site.config if site else None
    location, kind = _trunk(site, trunk, vcs)
    if site is not None and not keys and not site.certificates.public_key.exists():
        raise NothingToDoError(
            "nothing has landed on this site yet",
            details=f"There is no landing key: {site.certificates.public_key}",
            resolution="Where another site lands, name its public key with --key.",
        )
    verifier = Verifier(*(keys or ((site.certificates.public_key,) if site else ())))
    try:
        with tempfile.TemporaryDirectory(prefix="byoci-audit-") as private:
            tool = vcs_of(kind, Path(private, "repository"), config, local=True)
            tool.fetch(location, trusted=True)
            if published:
                known = dict(shelf_of(kind, Path(private, "repository"), config, local=True).all(location))
            else:
                known = dict(in_folder(certificates or context.site.config.state / "certificates"))
            found = audits.audit(
                tool,
                location,
                known,
                verifier.verify,
                since=since,
                called=called,
                tell=output.progress,
            )
    finally:
        verifier.close()
    if context.json:
        output.as_json(_as_json(str(location), found))
    else:
        _tell(str(location), found)
    return 0 if found.ok else 1


def _trunk(site: Site | None, trunk: str | None, vcs: str | None) -> tuple[Location, str]:
    from byoci.cli.places import project_for
    from byoci.model import Location

    if trunk is None:
        if site is None:
            raise UsageError("which trunk?", resolution="Name it: byoci audit URL[;BRANCH] --vcs git or --vcs bzr.")
        here = project_for(site, None, "byoci audit PROJECT")
        return here.trunk, here.vcs
    if site is not None and trunk in site.config.projects:
        project = site.config.projects[trunk]
        return project.trunk, project.vcs
    project_of = site.config.project_of_trunk(trunk) if site is not None else None
    if project_of is not None:
        return project_of.trunk, project_of.vcs
    if vcs is None:
        raise UsageError(f"{trunk} is no project's trunk", resolution="Say what it is in: --vcs git or --vcs bzr.")
    location = Location.parse(trunk)
    path = Path(location.url).expanduser()
    return (Location(str(path.absolute()), location.branch) if path.exists() else location), vcs


def _as_json(trunk: str, found: Audit) -> Mapping[str, object]:
    return {
        "trunk": trunk,
        "ok": found.ok,
        "judged": len(found.findings),
        "covered": found.covered,
        "before": found.before,
        "findings": [
            {
                "revision": finding.revision,
                "kind": finding.kind.value,
                "details": finding.details,
                "project": finding.project,
                "proposal": finding.proposal,
            }
            for finding in found.findings
        ],
        "elsewhere": list(found.elsewhere),
    }


def _tell(trunk: str, found: Audit) -> None:
    bad = [finding for finding in found.findings if finding.kind.value != "covered"]
    if bad:
        output.table(
            ("REVISION", "IS", "WHY"), [(item.revision, item.kind.value, item.details) for item in bad[:_SHOWN]]
        )
        if len(bad) > _SHOWN:
            output.say(f"… and {len(bad) - _SHOWN} more; --json has them all")
        output.say()
    output.say(
        f"{found.covered} of {len(found.findings)} revisions of {trunk} are covered by a certificate that is true."
    )
    if found.before:
        output.say(f"Not judged, from before its first landing: {found.before}.")
    if found.elsewhere:
        output.say(f"Certificates of candidates that trunk does not hold now: {len(found.elsewhere)}.")


@click.command(short_help="Say who approved a commit, and what tested it.")
@click.argument("commit", help="A revision of a trunk: its id, or what names it where you are.")
@json_option
@click.pass_obj
def why(context: Context, commit: str) -> int:
    """Say who asked for COMMIT, who approved it, what tested it, where and for how long, and where its log is.

    COMMIT is a landing on a trunk, or a revision that a landing brought in. Of a landing's id its beginning will do, or
    its end. In a repository it may be what git knows it by, as HEAD or a branch, or its number on a bzr trunk. The exit
    code is 1 where the certificate is not signed with this site's landing key.
    """
    from byoci.gate import certificate as certificates

    site = context.site
    statement, signature = certificates.split(_certificate_of(site, commit).read_bytes())
    found, ours = certificates.decode(statement), site.certificates.signed(statement, signature)
    if context.json:
        click.echo(statement.decode())
    else:
        if not ours:
            output.say("Not proven: what follows is not signed with this site's landing key. See `byoci audit --help`.")
        _explain(found)
    return 0 if ours else 1


def _certificate_of(site: Site, commit: str) -> Path:
    paths, revision = _landings_named(site, commit), commit
    if not paths and commit:
        revision = _named_here(site, commit) or commit
        paths = _landings_named(site, revision) or _landings_named(site, _brought_by(site, revision) or "")
    if not paths:
        of_proposal = any(item.id == commit for item in site.local_forge.list_proposals())
        raise NothingToDoError(
            f"no certificate tells of {commit}{'' if revision == commit else f' ({revision})'}",
            details="No landing of this site is, or brought in, a revision of that name.",
            resolution=f"Of proposal {commit} tells `byoci explain {commit}`."
            if of_proposal
            else "`byoci audit` names every commit that no certificate covers.",
        )
    if len(paths) > 1:
        raise UsageError(f"{commit} is the beginning of several landings' ids", resolution="Give more of it.")
    return paths[0]


def _landings_named(site: Site, name: str) -> list[Path]:
    """Certificates of what passed and goes by that name."""
    return [path for path in site.certificates.named(name) if path.parent.name != "failed"]


def _named_here(site: Site, name: str) -> str | None:
    """The revision that `name` means in the working folder's repository: a git name, or a number on a bzr trunk."""
    from byoci.cli.places import projects_here
    from byoci.config.detect_git import revision_named

    for project in projects_here(site):
        if project.vcs == "git":
            return revision_named(Path.cwd(), name)
        if name.isdecimal() and int(name):
            tool = site.vcs(project)
            tool.fetch(project.trunk, trusted=True)
            numbered = [revision.id for revision in tool.history(project.trunk)]
            return numbered[-int(name)] if int(name) <= len(numbered) else None
    return None


def _brought_by(site: Site, commit: str) -> str | None:
    """The landing by which some project's trunk came to hold a revision."""
    from byoci.gate.audit import brought_by

    for project in site.config.projects.values():
        found = brought_by(site.vcs(project), project.trunk, commit)
        if found is not None:
            return found
    return None


def _explain(told: Certificate) -> None:
    candidate, verdict, tests = told.candidate, told.verdict, told.tests
    output.say(f"{candidate.id}")
    output.say(f"  landed {told.forge} proposal {told.proposal} of {told.project}: {told.title}")
    output.say(f"  asked for by {told.author}, from {told.source} at {candidate.revision}")
    by = f" by {told.approved_by}" if told.approved_by else ""
    output.say(f"  approved{by} at {told.meta.at:%Y-%m-%d %H:%M:%S} UTC")
    for vote in told.votes:
        recorded = f", recorded by {vote.recorded_by}" if vote.recorded_by not in (None, vote.voter) else ""
        output.say(f"    {vote.voter}: {vote.value}{recorded}")
    output.say(f"  merged onto {candidate.base} with {candidate.tool}")
    at = f" at {verdict.started:%Y-%m-%d %H:%M:%S} UTC" if verdict.started else ""
    output.say(f"  tested{at} in {verdict.seconds:.1f} s: {verdict.reason}")
    for command in tests.commands:
        output.say(f"    $ {command}")
    where = ", ".join(f"{name} {value}" for name, value in verdict.worker.items())
    output.say(f"  in worker {tests.worker}: {where}")
    output.say(f"  log {verdict.log} (SHA-256 {verdict.log_digest})" if verdict.log else "  no log was kept")
