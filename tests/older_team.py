"""A small team's older byoci, as files: three projects on Launchpad, two of bzr and one of git, and two namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from byoci.config.migrate.plan import plan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from byoci.config.migrate.jobs import Trunk
    from byoci.config.migrate.plan import Plan
    from byoci.config.migrate.rows import Row

SITE: Final = """\
# The smithy's site.
byoci.prefix = smithy
byoci = testing
vm.class = lxd
debian.release.stable = trixie

testing.master = {byoci.prefix}-master-testing
testing.monitor = {byoci.prefix}-monitor-testing
testing.slaves = {byoci.prefix}-slave-testing
testing.master.url = http://10.0.3.5:8080
testing.landing.user = smithy-bot-testing
testing.landing.fullname = Smithy Bot (testing)
testing.landing.email = bot-testing@smithy.example
testing.host.definition = /home/ann/ci
testing.admin.users = ann, bob

production.master = {byoci.prefix}-master-production
production.monitor = {byoci.prefix}-monitor-production
production.slaves = {byoci.prefix}-slave-1, {byoci.prefix}-slave-2
production.master.url = https://ci.smithy.example   # behind the proxy
production.landing.user = smithy-bot
production.landing.fullname = Smithy Bot
production.landing.email = bot@smithy.example
production.definition.branch = lp:~smithy/ci/production
production.admin.users = ann

[smithy-slave-]
byoci = production
lxd.nesting = 1
[smithy-slave-testing]
byoci = testing
vm.ram_size = 4096
"""
CONTAINERS: Final = """\
compiler = gcc
[anvil]
vm.distribution = ubuntu
vm.release = bionic
vm.ram_size = 8192
vm.disk_size = 20G
vm.packages = make, {compiler}, @anvil.packages
byoci.setup.command = ./setup.sh --for {vm.release}
byoci.tests.command = make check CC={compiler}

[anvil-3.1]
vm.release = xenial
byoci.tests.command = {} VERBOSE=1

[rocket]
vm.distribution = debian
vm.release = {{vm.distribution}.release.stable}
byoci.tests.command = ./run-tests --as {{byoci}.landing.user}
byoci.test.command = ./typo
"""
JOBS: Final = """\
- job-template:
    name: 'land-{name}'
    builders:
      - shell: |
          cd ~/workspace
          byo-ci-slave land-approved-{vcs}-proposal \\
              "{trunk}" work {container}

- project:
    name: anvil
    vcs: bzr
    trunk: lp:anvil
    container: anvil
    jobs:
      - 'land-{name}'

- project:
    name: anvil-3.1
    vcs: bzr
    trunk: "lp:anvil/3.1"   # the stable one
    container: anvil-3.1
    jobs: ['land-{name}']

- job:
    name: land-rocket
    builders:
      - shell: byo-ci-slave land-approved-git-proposal 'lp:~smithy/rocket/+git/rocket;main' work rocket
"""
FILES: Final[Mapping[str, str]] = {
    "byov.conf": SITE,
    "byov.conf.d/containers.conf": CONTAINERS,
    "anvil.packages": "# for the tests\npython3\ncmake # to build\n",
    "jobs/land.yaml": JOBS,
}


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files below the folder, which it gives back."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def planned(
    folder: Path, *more: Path, namespace: str = "testing", trunks: tuple[Trunk, ...] = (), output: Path | None = None
) -> Plan:
    """What the migration of some folders comes to, with a home of its own below the first one's parent."""
    home = folder.parent / "home"
    return plan([folder, *more], output, trunks, namespace, {"HOME": str(home)})


def rows(found: Plan) -> dict[str, Row]:
    """The rows by option, with the section before it: `[anvil] vm.release`."""
    return {f"[{row.section}] {row.option}" if row.section else row.option: row for row in found.rows}
