"""Who starts where, who waits and why; what starts by itself; which builds are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoci.controller.catalog import Catalog, MissingError, TakenError
from byoci.controller.discarding import expired
from byoci.controller.estimates import duration
from byoci.controller.job import Downstream, Job, PropertyFile, Result
from byoci.controller.jobxml import JobRefusedError
from byoci.controller.nodexml import Node, Ssh, read_node, write_node
from byoci.controller.places import Places, check_name
from byoci.controller.plans import handed_on, make_plan, parameters_of
from byoci.controller.rows import LAST, BuildRow, Item, Queued, Request
from byoci.controller.schedule import Kin, Place, schedule, starting
from byoci.controller.state import State
from byoci.controller.triggers import Relations, Timers
from byoci.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

pytestmark = pytest.mark.controller
NOBODY = Request({}, "Started by nobody")


def waits(*jobs: str, due: float = 0.0) -> list[Queued]:
    return [Queued(number, job, NOBODY, 0.0, due) for number, job in enumerate(jobs, 1)]


def place(name: str, *labels: str, executors: int = 1, **more: bool) -> Place:
    return Place(name, {name, *labels}, executors, more.pop("ready", True), **more)


def test_the_oldest_gets_the_first_seat_that_its_labels_allow() -> None:
    jobs = {"a": Job(labels="big"), "b": Job(), "c": Job(labels="!big"), "d": Job()}
    places = [place("one", "big"), place("two", executors=2)]
    plan = schedule(waits("b", "a", "c", "d"), jobs, places, {}, 1.0, {})
    assert [(seat.queued.job, seat.node, seat.executor) for seat in plan.seats] == [
        ("b", "one", 0),
        ("c", "two", 0),
        ("d", "two", 1),
    ]
    assert plan.reasons == {2: "Waiting for next available executor on ‘big’"}


def test_the_higher_priority_starts_first() -> None:
    jobs = {"low": Job(priority=1), "usual": Job(), "high": Job(priority=5)}
    plan = schedule(waits("low", "usual", "usual", "high"), jobs, [place("one", executors=2)], {}, 1.0, {})
    assert [seat.queued.job for seat in plan.seats] == ["high", "usual"]


@pytest.mark.parametrize(
    ("job", "places", "reason"),
    [
        (Job(labels="x"), [place("one")], "There are no nodes with the label ‘x’"),
        (Job(labels="one"), [place("one", ready=False)], "All nodes of label ‘one’ are offline"),
        (Job(), [place("one", ready=False)], "All nodes are offline"),
        (Job(), [place("one", exclusive=True)], "There are no nodes"),
        (Job(), [place("one", executors=0)], "There are no nodes"),
    ],
)
def test_a_reason_is_told(job: Job, places: list[Place], reason: str) -> None:
    assert schedule(waits("j"), {"j": job}, places, {}, 1.0, {}).reasons == {1: reason}


def test_a_clock_that_is_set_back_makes_nobody_wait() -> None:
    year = 365 * 86400.0
    waiting = [Queued(1, "j", NOBODY, year, year + 5)]
    free = [place("one")]
    assert schedule(waiting, {"j": Job()}, free, {}, year + 1, {}).reasons == {
        1: "In the quiet period. Expires in 4 sec"
    }
    assert schedule(waiting, {"j": Job()}, free, {}, 10.0, {}).reasons == {}


def test_what_holds_a_build_back() -> None:
    free = [place("one", executors=9)]
    jobs = {"j": Job(), "w": Job(wait_for_upstream=True), "up": Job()}
    assert "quiet period" in schedule(waits("j", due=9.0), jobs, free, {}, 1.0, {}).reasons[1]
    running = {"j": "Build #7 is already in progress (ETA: 3 sec)"}
    assert schedule(waits("j"), jobs, free, running, 1.0, {}).reasons[1] == running["j"]
    assert "already in progress" in schedule(waits("j", "j"), jobs, free, {}, 1.0, {}).reasons[2]
    kin = {"w": Kin(upstream=frozenset({"up"}))}
    assert "Upstream project up" in schedule(waits("w"), jobs, free, {"up": ""}, 1.0, kin).reasons[1]
    assert schedule(waits("w"), jobs, free, {}, 1.0, kin).reasons == {}


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 3), st.integers(0, 3))
def test_no_seat_is_given_twice_and_everybody_has_a_seat_or_a_reason(jobs: list[str], one: int, two: int) -> None:
    known = {"a": Job(concurrent=True), "b": Job(labels="two", concurrent=True), "c": Job()}
    waiting = waits(*jobs)
    plan = schedule(waiting, known, [place("one", executors=one), place("two", executors=two)], {}, 1.0, {})
    seats = [(seat.node, seat.executor) for seat in plan.seats]
    assert len(set(seats)) == len(seats) <= one + two
    assert {seat.queued.id for seat in plan.seats} ^ plan.reasons.keys() == {queued.id for queued in waiting}
    assert sum(seat.queued.job == "c" for seat in plan.seats) <= 1


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 3), st.integers(0, 3))
def test_who_starts_is_found_without_going_on_when_all_seats_are_taken(jobs: list[str], one: int, two: int) -> None:
    known = {"a": Job(concurrent=True), "b": Job(labels="two", concurrent=True), "c": Job()}
    looked: list[int] = []

    class Watched(dict[str, Kin]):
        def get(self, key: str, default: Kin | None = None) -> Kin:  # type: ignore[override]
            looked.append(1)
            return super().get(key, default or Kin())

    places = [place("one", executors=one), place("two", executors=two)]
    plan = schedule(waits(*jobs), known, places, {}, 1.0, {})
    assert starting(waits(*jobs), known, places, (), 1.0, Watched()) == plan.seats
    if len(plan.seats) == one + two:
        last = plan.seats[-1].queued.id if plan.seats else 0
        assert len(looked) == last


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.42, "0.4 sec"),
        (59.4, "59 sec"),
        (200, "3 min 20 sec"),
        (3600, "1 hr"),
        (3900, "1 hr 5 min"),
        (90000, "1 day 1 hr"),
    ],
)
def test_how_long_is_told_in_two_units(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def build(number: int, result: Result | None, began: float = 0.0) -> BuildRow:
    return BuildRow(number, "j", number, number, NOBODY, "", 0, began, None if result is None else began + 1, result)


def test_builds_that_are_too_many_or_too_old() -> None:
    good, bad = Result.SUCCESS, Result.FAILURE
    builds = [build(1, good), build(2, good), build(3, bad), build(4, bad), build(5, None)]

    def gone(found: Iterable[BuildRow], first: int | None, days: int | None, now: float) -> list[int]:
        return [one.number for one in expired(found, first, days, {2}, now)]

    assert gone(builds, 4, None, 0.0) == [1, 3]
    assert gone(builds, 9, None, 0.0) == [1, 3, 4]  # never one that runs
    days = [build(1, good), build(2, bad, 86400.0), build(3, bad, 86400.0 * 9), build(4, bad)]
    assert gone(days, None, 7, 86400.0 * 10) == [1]  # a clock that was set back makes nothing younger or older
    assert gone(builds, None, None, 1e12) == []


def test_only_what_goes_is_read() -> None:
    builds = iter([build(number, Result.FAILURE) for number in range(1, 100)])
    assert [one.number for one in expired(builds, 3, None, (), 0.0)] == [1, 2]
    assert next(builds).number == 4


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(State(tmp_path / "state.sqlite"), Places(tmp_path))


def config(inner: str) -> bytes:
    return f"<project>{inner}</project>".encode()


def triggering(jobs: str) -> bytes:
    trigger = "hudson.tasks.BuildTrigger"
    return config(f"<publishers><{trigger}><childProjects>{jobs}</childProjects></{trigger}></publishers>")


def test_jobs_and_folders_are_kept(catalog: Catalog, tmp_path: Path) -> None:
    folder = b"<com.cloudbees.hudson.plugins.folder.Folder/>"
    catalog.create("", "f", folder)
    catalog.create("f", "j", triggering("k, /l"))
    catalog.create("f", "k", config(""))
    catalog.create("", "l", config(""))
    assert [catalog.resolve(name, "f") for name in ("k", "l", "/l", "../l", "none")] == ["f/k", "l", "l", "l", "none"]
    with pytest.raises(TakenError):
        catalog.create("f", "j", config(""))
    with pytest.raises(MissingError):
        catalog.create("l", "x", config(""))
    assert catalog.rename("f", "g") == "g"
    assert [item.path for item in catalog.below("g")] == ["g/j", "g/k"]
    again = Catalog(State(tmp_path / "state.sqlite"), Places(tmp_path))
    assert again.jobs == catalog.jobs
    catalog.enable("l", enabled=False)
    assert catalog.job("l").disabled
    catalog.delete("g")
    assert list(catalog.jobs) == ["l"]


def test_a_folder_is_only_a_folder(catalog: Catalog) -> None:
    start, end = (f"<{slash}com.cloudbees.hudson.plugins.folder.Folder>" for slash in ("", "/"))
    neutral = "<description>x</description><icon class='a'/><views/><properties/><canRoam>true</canRoam>"
    catalog.create("", "f", f"{start}{neutral}{end}".encode())
    for more in ("<properties><a.b.FolderCredentials/></properties>", "<unknown/>", "<canRoam>false</canRoam>"):
        with pytest.raises(JobRefusedError):
            catalog.create("", "g", f"{start}{more}{end}".encode())
        with pytest.raises(JobRefusedError):
            catalog.configure("f", f"{start}{more}{end}".encode())
    assert [item.path for item in catalog.below("")] == ["f"]


def test_the_jobs_around_one_are_known_all_the_way(catalog: Catalog) -> None:
    waiting = "<blockBuildWhenUpstreamBuilding>true</blockBuildWhenUpstreamBuilding>"
    catalog.create("", "a", triggering("b"))
    catalog.create("", "b", triggering("c, a"))
    catalog.create("", "c", config(waiting))
    assert Relations(catalog).kin_of(["a", "c"]) == {"c": Kin(frozenset({"a", "b"}), frozenset())}


def test_who_starts_whom_is_found_once_for_many_questions(tmp_path: Path) -> None:
    """A list of a thousand jobs asks for each; looking through all jobs for each of them would be a million."""

    class Counting(Catalog):
        asked = 0

        def resolve(self, name: str, folder: str) -> str:
            self.asked += 1
            return super().resolve(name, folder)

    state = State(tmp_path / "controller.sqlite")
    catalog = Counting(state, Places(tmp_path))
    relations = Relations(catalog)
    for number in range(50):
        catalog.create("", f"job{number}", triggering("job0"))
    assert [relations.related(path)[1] for path in catalog.jobs] == [["job0"]] * 50
    assert catalog.asked == 50
    catalog.configure("job1", config(""))
    assert relations.related("job1") == ([], [])
    catalog.delete("job2")
    assert "job2" not in relations.related("job0")[0]
    state.close()


def test_timers_start_what_is_due(catalog: Catalog) -> None:
    timer = "hudson.triggers.TimerTrigger"
    catalog.create("", "noon", config(f"<triggers><{timer}><spec>0 12 * * *</spec></{timer}></triggers>"))
    timers = Timers(catalog, lambda job: job.cron, lambda _: None)
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert timers.due(noon - timedelta(minutes=1), noon) == ["noon"]
    assert timers.due(noon, noon + timedelta(minutes=1)) == []
    catalog.enable("noon", enabled=False)
    assert timers.due(noon - timedelta(minutes=1), noon) == []


def test_parameters_are_those_that_the_job_has() -> None:
    from byoci.controller.job import Parameter, ParameterKind

    job = Job(
        parameters=(
            Parameter("S", ParameterKind.STRING, " d ", trim=True),
            Parameter("B", ParameterKind.BOOLEAN, "false"),
            Parameter("C", ParameterKind.CHOICE, "one", choices=("one", "two")),
        )
    )
    assert parameters_of(job, {"B": "on", "LD_PRELOAD": "x"}) == {"S": "d", "B": "true", "C": "one"}
    with pytest.raises(UsageError):
        parameters_of(job, {"C": "three"})
    assert parameters_of(job, {"C": "three"}, strict=False)["C"] == "three"


def test_what_is_handed_on() -> None:
    row = BuildRow(1, "j", 1, 1, Request({"A": "1"}, "x"), "", 0, 0.0)
    good = frozenset({Result.SUCCESS})
    assert handed_on(Downstream(("k",), good), row, {}, {}) == {}
    assert handed_on(Downstream(("k",), good, "B=$A", inherit=True, bare=False), row, {"A": "1"}, {}) == {
        "A": "1",
        "B": "1",
    }
    file = Downstream(("k",), good, "B=2", bare=False, files=(PropertyFile("f", needed=True),))
    assert handed_on(file, row, {}, {"f": "A=9\nB=9"}) == {"A": "9", "B": "2"}
    assert handed_on(file, row, {}, {}) is None
    none = BuildRow(1, "j", 1, 1, NOBODY, "", 0, 0.0)
    assert handed_on(Downstream(("k",), good, inherit=True, bare=False), none, {}, {}) is None


def test_a_plan_has_a_workspace_of_its_own() -> None:
    row = BuildRow(1, "f/$j", 7, 1, NOBODY, "n", 0, 0.0)
    node = Node("n", root="/r/")
    assert make_plan(Job(), row, node, "http://x/", 1)["workspace"] == "/r/workspace/f/_j"
    assert make_plan(Job(), row, node, "http://x/", 2)["workspace"] == "/r/workspace/f/_j@2"
    assert make_plan(Job(workspace="w"), row, node, "http://x/", 1)["workspace"] == "/r/w"
    assert make_plan(Job(workspace="/w/$X"), row, node, "http://x/", 1)["workspace"] == "/w/$X"
    assert make_plan(Job(), row, node, "http://x/", 1)["environment"]["BUILD_URL"] == "http://x/job/f/job/%24j/7/"


NODES = st.builds(
    Node,
    st.from_regex(r"[a-z][a-z0-9 ._-]{0,20}[a-z0-9]", fullmatch=True),
    st.text(alphabet="ab<&>é ", max_size=9).map(str.strip),
    st.just("/srv/x & y"),
    st.integers(0, 50),
    st.lists(st.sampled_from(["linux", "big", "x<y"]), max_size=3).map(tuple),
    st.booleans(),
    st.none() | st.builds(Ssh, st.sampled_from(["a.example", "127.0.0.1"]), st.integers(1, 65535), st.just("ci")),
)


@given(NODES)
def test_what_was_written_of_a_node_is_read(node: Node) -> None:
    assert read_node(write_node(node)) == node


@pytest.mark.parametrize("host", ["-oProxyCommand=x", "a b", "a/b", "a\nb", "", "x" * 300])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(UsageError):
        read_node(write_node(Node("n", ssh=Ssh(host))))


@given(st.text(max_size=30))
def test_a_name_is_a_files_name_or_refused(name: str) -> None:
    try:
        check_name(name, "job")
    except UsageError:
        return
    assert "/" not in name
    assert "\x00" not in name
    assert name not in ("", ".", "..")


def test_the_last_builds_of_each_kind(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    state.save_item(Item("j", folder=False, config=b"<project/>", following=1))
    results = [Result.SUCCESS, Result.UNSTABLE, Result.FAILURE, Result.ABORTED, None]
    for result in results:
        row = state.begin(state.enqueue("j", NOBODY, 0.0), "", 0)
        if result:
            state.finish(row, result, {})
    last = {name: found.number for name in LAST if (found := state.last("j", name))}
    assert last == {
        "lastBuild": 5,
        "lastCompletedBuild": 4,
        "lastSuccessfulBuild": 2,
        "lastStableBuild": 1,
        "lastUnstableBuild": 2,
        "lastFailedBuild": 3,
        "lastUnsuccessfulBuild": 4,
    }
    assert state.last("k", "lastFailedBuild") is None
    first, middle = state.first("j"), state.build("j", 3)
    assert first is not None
    assert middle is not None
    assert (first.number, state.beside(middle, later=True), state.beside(middle, later=False)) == (1, 4, 2)
    assert state.beside(first, later=False) is None
    assert [build.number for build in state.running()] == [5]
    assert state.numbers("j") == [5, 4, 3, 2, 1]
    assert (state.usual_seconds("j", 6) or -1) >= 0
    assert state.usual_seconds("k", 6) is None
    state.move_item("j", "k")
    assert [build.job for build in state.builds("k", 2)] == ["k", "k"]
    assert state.following("k") == 6


def test_a_queue_is_the_same_after_a_restart(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    for name in "abcd":
        state.save_item(Item(name, folder=False, config=b"<project/>", following=1))
    queued = {name: state.enqueue(name, Request({"P": name}, "x"), 0.0) for name in "abcd"}
    assert state.enqueue("a", Request({"P": "a"}, "x"), 9.0) == queued["a"]
    state.begin(queued["a"], "", 0)
    assert state.cancel(queued["b"].id)
    assert not state.cancel(queued["b"].id)
    state.move_item("c", "e")
    state.drop_item("d")
    assert [one.job for one in state.waiting()] == ["e"]
    state.close()
    assert [one.job for one in State(tmp_path / "state.sqlite").waiting()] == ["e"]
