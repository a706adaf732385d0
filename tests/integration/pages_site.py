"""A controller with something of everything to show, for tests that look at its pages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from controller_process import ControllerProcess

HOSTILE = 'it\'s "<b>bold</b>" <script>alert(1)</script> & {{ 7 * 7 }} ${x} </textarea></title>'
FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
PARAMETERS = (
    "<properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>"
    "<hudson.model.StringParameterDefinition><name>BRANCH</name><defaultValue>main</defaultValue>"
    "<description>{hostile}</description></hudson.model.StringParameterDefinition>"
    "<hudson.model.TextParameterDefinition><name>NOTES</name><defaultValue>{hostile}</defaultValue>"
    "</hudson.model.TextParameterDefinition>"
    "<hudson.model.BooleanParameterDefinition><name>CLEAN</name><defaultValue>true</defaultValue>"
    "</hudson.model.BooleanParameterDefinition>"
    "<hudson.model.ChoiceParameterDefinition><name>WHERE</name><choices><a><string>here</string><string>there</string>"
    "</a></choices></hudson.model.ChoiceParameterDefinition>"
    "<hudson.model.PasswordParameterDefinition><name>SECRET</name><defaultValue/>"
    "</hudson.model.PasswordParameterDefinition>"
    "</parameterDefinitions></hudson.model.ParametersDefinitionProperty></properties>"
)
CHOICES = '<choices class="java.util.Arrays$ArrayList"><a class="string-array">'
REPORTS = (
    "<publishers><hudson.tasks.ArtifactArchiver><artifacts>out/**</artifacts><allowEmptyArchive>true</allowEmptyArchive>"
    "</hudson.tasks.ArtifactArchiver><hudson.tasks.junit.JUnitResultArchiver><testResults>report.xml</testResults>"
    "<allowEmptyResults>true</allowEmptyResults></hudson.tasks.junit.JUnitResultArchiver></publishers>"
)
TESTS = r"""
mkdir -p out; echo data > 'out/a file & <b>.txt'; seq 2000 > out/numbers
cat > report.xml <<'END'
<testsuite name="suite" time="1.5">
<testcase classname="tests.test_things" name="test_it_works" time="0.01"/>
<testcase classname="tests.test_things" name="test_markup &lt;script&gt;alert(1)&lt;/script&gt;" time="0.5">
<failure message="expected &lt;b&gt;one&lt;/b&gt;">Traceback &lt;img src=x onerror=alert(1)&gt;
  File "x.py", line 3</failure></testcase>
<testcase classname="tests.test_things" name="test_later"><skipped/></testcase>
</testsuite>
END
"""
TALK = r"""
printf '\033[32mok\033[0m and \033[1;31mnot ok\033[0m, \033[33mso so\033[0m, \033[34mblue\033[0m'
printf ' \033[36mcyan\033[0m \033[35mmagenta\033[0m\n'
printf '%s\n' '<script>document.title = "taken"</script><img src=x onerror=alert(1)>' "It's & \"quoted\""
printf 'hidden\rshown \033]0;title\007 \342\200\256reversed\n'
"""


PAGES = (
    *("/", "/?state=failure", "/view/Fast/", "/job/libraries/", "/job/libraries/delete"),
    *("/job/website/", "/job/never/", "/job/off/", "/job/deploy/", "/job/deploy/build", "/job/website/delete"),
    *(
        "/job/website/3/",
        "/job/website/3/console",
        "/job/website/3/console?find=script",
        "/job/deploy/1/",
        "/job/long/1/",
    ),
    *("/job/website/3/testReport/", "/job/website/3/testReport/?class=tests.test_things&name=test_later"),
    *("/job/website/3/artifact/", "/job/website/3/confirmDelete"),
    *("/queue/", "/computer/", "/computer/(built-in)/", "/computer/distant/", "/computer/distant/delete", "/login"),
)


def quoted(name: str) -> str:
    return quote(name, safe="")


def shell(script: str, more: str = "") -> str:
    return f"<builders><hudson.tasks.Shell><command>{escape(script)}</command></hudson.tasks.Shell></builders>{more}"


def furnish(controller: ControllerProcess) -> None:
    """Make folders, jobs, builds of every fate, views, agents, and something that runs and waits."""
    create = controller.create
    hostile = escape(HOSTILE)
    create("website", f"<description>{hostile}</description>" + shell(TALK + TESTS, REPORTS))
    parameters = PARAMETERS.format(hostile=hostile).replace("<choices><a>", CHOICES)
    create("deploy", parameters + shell('echo "$BRANCH|$NOTES|$CLEAN|$WHERE"', ""))
    create("broken", shell("echo about to fail; exit 3"))
    create("quick", shell("sleep 0.$BUILD_NUMBER"))
    create(quoted("ünï côde (1), it's=~+"), shell("true"))
    create("never", shell("true"))
    create("off", "<disabled>true</disabled>" + shell("true"))
    controller.post(
        "createItem?name=libraries", f"<{FOLDER}><description>All libraries</description></{FOLDER}>".encode()
    )
    for name in ("core", "tools"):
        controller.post(f"job/libraries/createItem?name={name}", f"<project>{shell('true')}</project>".encode())
    controller.post(
        "createView?name=Fast", b"<hudson.model.ListView><includeRegex>q.*</includeRegex></hudson.model.ListView>"
    )
    for number in range(1, 4):
        controller.run("website", number=number)
        controller.run("quick", number=number)
    controller.run("broken")
    controller.run("deploy", f"BRANCH={quoted(HOSTILE)}&SECRET=correct-horse")
    controller.run("libraries/job/core")
    node = {
        "remoteFS": "/srv/byoci",
        "numExecutors": 2,
        "labelString": "linux big",
        "nodeDescription": HOSTILE,
        "launcher": {
            "stapler-class": "hudson.plugins.sshslaves.SSHLauncher",
            "host": "127.0.0.1",
            "port": "1",
            "username": "jenkins",
        },
    }
    form = quoted(json.dumps(node))
    reply = controller.post(
        "computer/doCreateItem",
        f"name=distant&json={form}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert reply.status == 302, reply.text
    create("long", shell('for i in $(seq 300); do echo "line $i of a build that goes on"; sleep 1; done'))
    create("elsewhere", "<assignedNode>linux</assignedNode><canRoam>false</canRoam>" + shell("true"))
    controller.build("long")
    controller.build("elsewhere")
