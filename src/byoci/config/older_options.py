"""Every option of the older byoci (1.0.4) and byov (2.4.2), and what became of it: the one table of it all.

An option that begins with `byoci.` and is in `NAMESPACED` stands for the same one under `production.`, `testing.` and
`selftest.` too. The table names also what those programs read without declaring it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Group:
    """Options with one fate.

    fate   mapped: there is a key for it
           later: the design has a place for it, which this version may not have
           secret: it is a secret, and moves to the secrets folder
           file: it names a secret file or a folder of them, which moves there
           refused: there is nothing like it
    names  in one text, with blanks between
    now    what it is called now; for a refused one ""
    why    for people: why it is refused and what to do instead; for others what to know
    """

    fate: str
    names: str
    now: str = ""
    why: str = ""


_IMAGES: Final = (
    "Machines and images are not made by cloud-init any more: [image.NAME] has base and packages, and what else tests"
    " need is installed by project.NAME.setup.command."
)
NO_SUCH_MACHINES: Final = (
    "Workers and machines are containers (LXD, Incus, podman), ssh hosts or this host. Make such a machine by its own"
    ' tools, and use it over ssh: [machine.NAME] backend = "ssh".'
)
_LXD: Final = (
    "A worker has no settings of LXD: it sees its image and its workspace, nothing of the agent, and needs no nesting."
    " Say limits in [worker.NAME]."
)
_DOCKER: Final = "Workers in containers are podman's, and byoci types its commands itself. Say limits in [worker.NAME]."
_SCRIPTS: Final = (
    "No script runs for a worker outside of the seal. Put what tests need into project.NAME.setup.command, with"
    " setup.network and setup.inputs; its result is kept as a layer."
)
_DIGESTS: Final = "Layers and images are known by a digest of all that they are made from; there is nothing to choose."
_NOTES: Final = "byov's own note on a machine that exists. Machines are set up anew; nothing of it is needed."
_WAITS: Final = "How long byoci waits for machines is its own business; [worker.NAME] time limits setup and tests."
_USERS: Final = "A worker runs as a user of its own, without sudo, in a private home: write ~ or $HOME in commands."
_SSH: Final = "How byoci reaches repositories over ssh stands in ssh_config of the secrets folder."
_PACKAGES: Final = (
    "Packages of the system go into image.NAME.packages, others are installed by project.NAME.setup.command with"
    " setup.network = true."
)
_NODES: Final = "The controller's nodes are made by `byoci monitor update-agent`, which needs no settings for it."
_PATHS: Final = "Where it lies on a machine is byoci's own choice: below $BYOCI_HOME/NAMESPACE."

GROUPS: Final = (
    # The site
    Group("mapped", "byoci", "--namespace", "The namespace is chosen when a command is typed, or by $BYOCI_NAMESPACE."),
    Group("mapped", "byoci.landing.fullname", "site.landing.fullname"),
    Group("mapped", "byoci.landing.email", "site.landing.email"),
    Group("mapped", "byoci.landing.user", "site.landing.user"),
    Group("mapped", "launchpad.login", "site.landing.user", "Workers log in nowhere; the agent does, as this user."),
    Group("refused", "gitlab.login", "", "Workers log in nowhere; the agent does, as site.landing.user."),
    Group("refused", "byoci.prefix", "", "Machines' names have no prefix. What was made from it is written out."),
    Group(
        "refused",
        "byoci.admin.email",
        "",
        "byoci sends no mail: `byoci queue` and comments on proposals tell the same.",
    ),
    Group("later", "byoci.admin.users launchpad.sso.url", "the roles of sign-in"),
    Group("refused", "byoci.host.users", "", "Who may do what is told by roles of sign-in, and by approve.trusted."),
    # Projects
    Group("mapped", "byoci.tests.command", "project.NAME.tests.command", "Tests have no network, and no credentials."),
    Group(
        "mapped",
        "byoci.setup.command",
        "project.NAME.setup.command",
        "It sees the files that setup.inputs names, not the whole tree: name what it reads.",
    ),
    Group(
        "file",
        "project.secrets",
        "project.NAME.setup.credentials",
        "The setup command finds the file in $CREDENTIALS_DIRECTORY; tests do not see it.",
    ),
    Group("later", "launchpad.service_root", 'project.NAME.forge = "launchpad"'),
    Group("later", "gitlab.api.url", 'project.NAME.forge = "gitlab"'),
    Group("refused", "gitlab.api.timeouts", "", _WAITS),
    Group("file", "launchpad.credentials gitlab.api.credentials", "the secrets folder"),
    Group("secret", "gitlab.admin.token gitlab.dev.token gitlab.reviewer.token", "the secrets folder"),
    Group(
        "refused",
        "byoci.setup_known_hosts",
        "",
        "Workers reach no host over ssh. The agent's known hosts are those of the user that byoci runs as.",
    ),
    # Controller, monitor and agents
    Group("later", "byoci.master", "machine.controller"),
    Group("later", "byoci.monitor", "machine.monitor"),
    Group("later", "byoci.slaves", "machine.NAME"),
    Group(
        "later",
        "byoci.master.url byoci.master.api byoci.url byoci.api",
        'controller.url, with controller.engine = "jenkins"',
        "It must be https, or this machine: the token does not travel in clear.",
    ),
    Group("later", "byoci.monitor.user byoci.user", "controller.user"),
    Group("secret", "byoci.monitor.token byoci.token", "the secrets folder"),
    Group("file", "byoci.master.ssh.key byoci.slave.ssh.key ssh.key ssh.server_keys", "the secrets folder"),
    Group("file", "byoci.host.secrets", "the secrets folder"),
    Group("later", "byoci.definition.branch", "machine.NAME.definition.branch"),
    Group("later", "byoci.host.definition", "machine.NAME.host.definition.dir"),
    Group("later", "byoci.secrets.branch", "machine.NAME.secrets.branch"),
    Group("refused", "byoci.definition byoci.secrets", "", _PATHS),
    Group("later", "byoci.host.jobs", "byoci job update"),
    Group("later", "jenkins.plugins", "controller.plugins", "`byoci monitor update-plugins` installs them."),
    Group("refused", "jenkins.home jenkins.tokens slave slave.remote.fs slave.start", "", _NODES),
    Group("refused", "slave.demand.delay slave.idle.delay", "", _NODES),
    # Workers, images and machines
    Group("later", "vm.class", "worker.NAME.backend or machine.NAME.backend"),
    Group("mapped", "vm.ram_size", "worker.NAME.memory"),
    Group("mapped", "vm.disk_size", "worker.NAME.disk"),
    Group("later", "vm.backing", "worker.NAME.image"),
    Group("later", "vm.distribution vm.release", "image.NAME.base"),
    Group("later", "vm.packages", "image.NAME.packages"),
    Group(
        "refused", "vm.cpus", "", "Workers share the agent's processors; worker.NAME.processes limits their processes."
    ),
    Group("refused", "vm.architecture", "", "Workers and images have the agent's own architecture."),
    Group("refused", "vm vm.name", "", "A machine is called as its section is: [worker.NAME], [machine.NAME]."),
    Group("refused", "vm.user vm.user.home vm.user.shell vm.user.sudo vm.user.system", "", _USERS),
    Group("secret", "vm.chpasswd", "the secrets folder", "Nothing reads it: workers have no passwords."),
    Group(
        "refused",
        "vm.config_dir vm.final_message vm.fqdn vm.locale vm.locale.encoding vm.manage_etc_hosts vm.meta_data"
        " vm.package.manager vm.poweroff vm.published_as vm.update vm.vms_dir",
        "",
        _IMAGES,
    ),
    Group(
        "refused",
        "vm.root_script vm.setup.hook vm.setup_scripts vm.start.hook vm.uploaded_scripts vm.uploaded_scripts.guest_dir"
        " vm.user_script byov.scripts byov.commands",
        "",
        _SCRIPTS,
    ),
    Group("refused", "vm.setup.digest vm.ip host.ip host.free.ports", "", _NOTES),
    Group(
        "refused",
        "apt.setup.digest.options dnf.setup.digest.options docker.setup.digest.options ec2.setup.digest.options"
        " ephemeral-lxd.setup.digest.options lxd.setup.digest.options nova.setup.digest.options"
        " pip.setup.digest.options qemu.setup.digest.options scaleway.setup.digest.options ssh.setup.digest.options"
        " vm.setup.digest.options",
        "",
        _DIGESTS,
    ),
    Group("refused", "ssh.authorized_keys ssh.host ssh.options ssh.port ssh.user", "", _SSH),
    Group(
        "refused",
        "apt.command apt.options apt.proxy apt.sources apt.update.timeouts apt.upgrade.timeouts dnf.command dnf.options"
        " dnf.packages dnf.upgrade.timeouts pip.command pip.install.command pip.options pip.packages",
        "",
        _PACKAGES,
    ),
    Group(
        "refused",
        "amazon.package.manager amazon.user amazon.user.shell centos.package.manager centos.user centos.user.shell"
        " debian.package.manager debian.release.stable debian.user debian.user.shell fedora.package.manager fedora.user"
        " fedora.user.shell ubuntu.package.manager ubuntu.release.stable ubuntu.user ubuntu.user.shell"
        " amazon.docker.image amazon.lxd.image centos.lxd.image debian.docker.image debian.lxd.image"
        " debian.qemu.download.url fedora.lxd.image ubuntu.docker.image ubuntu.lxd.image ubuntu.qemu.download.url",
        "",
        _IMAGES,
    ),
    Group(
        "refused",
        "lxd.config.boot.autostart lxd.host.listen lxd.idmap.path lxd.image lxd.install.packages"
        " lxd.install.storage.backend lxd.install.storage.device lxd.install.storage.pool lxd.mac.address lxd.nesting"
        " lxd.privileged lxd.profiles lxd.proxies lxd.remote lxd.user_mounts lxd.user_mounts.container.gid"
        " lxd.user_mounts.container.uid lxd.user_mounts.host.gid lxd.user_mounts.host.uid lxd.vm.listen",
        "",
        _LXD,
    ),
    Group(
        "refused",
        "lxd.cloud_init.timeouts lxd.setup_ip.timeouts lxd.setup_ssh.timeouts docker.setup.timeouts"
        " docker.container.stop.timeout",
        "",
        _WAITS,
    ),
    Group(
        "refused",
        "docker.base docker.container.cp.command docker.container.create.command docker.container.shell.command"
        " docker.container.start.command docker.container.stop.command docker.container.teardown.command"
        " docker.create.image.hook docker.file docker.file.expanded docker.image docker.image.build.command"
        " docker.image.publish.command docker.image.registry.command docker.image.tag.command"
        " docker.image.unpublish.command docker.mounts docker.ports docker.registry.command docker.registry.host"
        " docker.registry.name docker.registry.port docker.setup.done",
        "",
        _DOCKER,
    ),
    Group(
        "refused",
        "docker.container.id docker.image.id ec2.instance.id ec2.published.id qemu.pid scaleway.server_id",
        "",
        _NOTES,
    ),
    Group(
        "refused",
        "qemu.bridge qemu.bridge.helper qemu.clone qemu.cloud_init.timeouts qemu.convert qemu.copy qemu.create"
        " qemu.disks qemu.disks.uefi qemu.disks.uefi.code qemu.disks.uefi.vars qemu.download qemu.download.dir"
        " qemu.download.path qemu.download.url qemu.graphics qemu.image qemu.image.setup qemu.image.teardown"
        " qemu.images.dir qemu.init.timeouts qemu.ip.neighbour.command qemu.ip.ping.command qemu.mac.address"
        " qemu.mac.prefix qemu.networks qemu.resize qemu.setup_ip.timeouts qemu.setup_ssh.timeouts"
        " qemu.ssh.localhost.port qemu.stop.timeouts qemu.uefi.code.path qemu.uefi.vars qemu.uefi.vars.path"
        " qemu.uefi.vars.seed",
        "",
        NO_SUCH_MACHINES,
    ),
    Group(
        "refused",
        "nova.auth_url nova.boot_timeout nova.cloud_init_timeout nova.flavors nova.image nova.net_id nova.region_name"
        " nova.setup_ip.timeouts nova.setup_ssh.timeouts nova.tenant_name nova.username",
        "",
        NO_SUCH_MACHINES,
    ),
    Group(
        "refused",
        "aws.region ec2.boot.timeouts ec2.cloud_init.timeouts ec2.create_image.timeouts ec2.distribution.images"
        " ec2.free_tier ec2.image ec2.image.id ec2.image.owners ec2.image.tags ec2.instance.tags ec2.instance.types"
        " ec2.security.groups ec2.setup_ip.timeouts ec2.setup_ssh.timeouts ec2.stop.timeouts ec2.subnet"
        " ec2.terminate.timeouts ec2.type",
        "",
        NO_SUCH_MACHINES,
    ),
    Group(
        "refused",
        "scaleway.boot.local scaleway.bootscript scaleway.cloud_init.timeouts scaleway.compute.timeouts"
        " scaleway.compute.url scaleway.flavor scaleway.image scaleway.image.bootstrap scaleway.poweroff_timeout"
        " scaleway.poweron_timeout scaleway.public_ip scaleway.region_name scaleway.setup_ip.timeouts"
        " scaleway.setup_ssh.timeouts scaleway.terminate_timeout",
        "",
        NO_SUCH_MACHINES,
    ),
    Group("secret", "nova.password aws.key aws.secret aws.token", "the secrets folder", NO_SUCH_MACHINES),
    Group("secret", "scaleway.access_key scaleway.token", "the secrets folder", NO_SUCH_MACHINES),
    Group("secret", "ldap.password", "the secrets folder"),
    Group("refused", "ldap.user", "", "People sign in through the forge or a provider of sign-in, not LDAP."),
    Group("refused", "logging.level logging.format", "", "How much is told is chosen with each command: --verbose."),
)

NAMESPACED: Final = frozenset(
    (
        *("admin.email", "admin.users", "definition", "definition.branch", "host.definition", "host.jobs"),
        *("host.secrets", "host.users", "landing.email", "landing.fullname", "landing.user"),
        *("master", "master.api", "master.ssh.key", "master.url", "monitor", "monitor.token", "monitor.user"),
        *("prefix", "secrets", "secrets.branch", "setup_known_hosts", "slave.ssh.key", "slaves"),
    )
)

# The defaults that values are made from; those that depend on a machine or a person are left out.
DEFAULTS: Final = {
    "byoci.prefix": "brz",
    "byoci.definition": "/byoci",
    "byoci.secrets": "/byoci-secrets",
    "byoci.master.api": "{{byoci}.master.url}",
    "byoci.master.ssh.key": "jenkins@{byoci.prefix}-master-{byoci}",
    "byoci.slave.ssh.key": "jenkins@{byoci.prefix}-slave-{byoci}",
    "byoci.admin.email": "jenkins@localhost",
    "testing.definition.branch": "",
    "testing.secrets.branch": "",
    "selftest.definition.branch": "",
    "selftest.secrets.branch": "",
    "selftest.host.secrets": "{testing.host.secrets}",
    "selftest.master.ssh.key": "jenkins@{byoci.prefix}-master-testing",
    "selftest.slave.ssh.key": "jenkins@{byoci.prefix}-slave-testing",
    "byoci.setup_known_hosts": "setup/known_hosts",
    "project.secrets": "",
    "launchpad.service_root": "production",
    "launchpad.credentials": "~/.config/launchpad/production",
    "launchpad.sso.url": "https://login.ubuntu.com",
    "gitlab.api.credentials": "~/.config/gitlab/credentials",
    "slave.remote.fs": "/home/ubuntu",
    "slave.start": "{jenkins.home}/bin/start-slave-via-ssh {slave}",
    "slave.demand.delay": "0",
    "slave.idle.delay": "5",
    "vm.distribution": "ubuntu",
    "vm.cpus": "1",
    "vm.ram_size": "2048",
    "vm.disk_size": "8G",
    "vm.vms_dir": "~/.config/byov",
    "vm.config_dir": "{vm.vms_dir}/{vm.name}",
    "vm.packages": "",
    "vm.locale": "en_US.UTF-8",
    "vm.locale.encoding": "UTF-8",
    "vm.user": "{{vm.distribution}.user}",
    "vm.user.home": "/home/{vm.user}",
    "vm.user.shell": "{{vm.distribution}.user.shell}",
    "vm.package.manager": "{{vm.distribution}.package.manager}",
    "vm.uploaded_scripts.guest_dir": "~{{vm.distribution}.user}/bin",
    "ssh.key": "~/.ssh/id_rsa",
    "ssh.user": "{vm.user}",
    "ssh.host": "{vm.ip}",
    "ssh.authorized_keys": "{ssh.key}.pub",
    "lxd.image": "{{vm.distribution}.lxd.image}",
    "lxd.nesting": "0",
    "lxd.host.listen": "0.0.0.0",  # noqa: S104 - nothing listens here; it is what the older programs expanded
    "lxd.vm.listen": "127.0.0.1",
    "docker.file": "./Dockerfile",
    "docker.image": "{{vm.distribution}.docker.image}",
    "docker.registry.name": "test-registry",
    "docker.registry.host": "localhost",
    "docker.registry.port": "5000",
    "amazon.user": "ec2-user",
    "centos.user": "centos",
    "debian.user": "debian",
    "fedora.user": "fedora",
    "ubuntu.user": "ubuntu",
    "amazon.package.manager": "dnf",
    "centos.package.manager": "dnf",
    "debian.package.manager": "apt",
    "fedora.package.manager": "dnf",
    "ubuntu.package.manager": "apt",
    "debian.release.stable": "bookworm",
    "ubuntu.release.stable": "noble",
    "amazon.docker.image": "amazonlinux",
    "debian.docker.image": "debian:{vm.release}",
    "ubuntu.docker.image": "ubuntu:{vm.release}",
    "amazon.lxd.image": "amazonlinux/{vm.release}/{vm.architecture}",
    "centos.lxd.image": "images:centos/{vm.release}/cloud/{vm.architecture}",
    "debian.lxd.image": "debian/{vm.release}/{vm.architecture}",
    "fedora.lxd.image": "images:fedora/{vm.release}/cloud/{vm.architecture}",
    "ubuntu.lxd.image": "ubuntu:{vm.release}/{vm.architecture}",
    **{f"{name}.user.shell": "/bin/bash" for name in ("amazon", "centos", "debian", "fedora", "ubuntu")},
}
