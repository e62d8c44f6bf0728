import dataclasses
import pickle
import resource
import signal
import subprocess
import sys
import threading

import pytest

from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_episodes.inspection.attention import Watched
from apo_episodes.inspection.ledger import rounds
from apo_episodes.inspection.table import summarise
from apo_episodes.reader import list_episodes, read_episode
from apo_episodes.recovery import list_partial, recover_episode
from apo_episodes.writer import EpisodeWriter
from apo_recorder.episode_state import DropCounts, EpisodeEnd
from apo_recorder.writer_thread import EpisodeWriterThread, EventKind, WriterEvent

POLICY, HUMAN = ControlSource.POLICY, ControlSource.HUMAN
WAIT_S = 30.0


def end(outcome: Outcome | None = Outcome.SUCCESS, until_ns: int = 0, drops: DropCounts = DropCounts()) -> EpisodeEnd:  # noqa: B008
    return EpisodeEnd(outcome and EpisodeOutcome(outcome, "because", True, False), "because", until_ns, drops)


class BrokenFile(EpisodeWriter):
    """A file on a disk that gets full after two steps."""

    def append(self, step) -> None:
        if self.num_steps == 2:
            raise OSError(28, "No space left on device")
        super().append(step)


class GatedFile(EpisodeWriter):
    """A file on a disk that hangs until the gate opens."""

    gate = threading.Event()
    entered = threading.Event()

    def append(self, step) -> None:
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        super().append(step)


@pytest.fixture
def make_writer(tmp_path, small_contract):
    writers = []

    def make(queue_steps: int = 100, **options) -> EpisodeWriterThread:
        writers.append(EpisodeWriterThread(tmp_path, small_contract, "gzip", queue_steps, **options))
        return writers[-1]

    yield make
    GatedFile.gate.set()
    for writer in writers:
        writer.close()


def finish(writer) -> dict[EventKind, object]:
    writer.close()
    return {event.kind: event for event in writer.events()}


def test_episode_is_saved(make_writer, make_info, make_step):
    notified = threading.Event()
    writer = make_writer(notify=notified.set)
    writer.begin(make_info())
    for tick, source in enumerate((POLICY, HUMAN, HUMAN, POLICY), 1):
        assert writer.append(make_step(tick, source))
    writer.end(end(drops=DropCounts(frames_lost=2, commands_lost=2)))
    writer.close()
    started, saved = writer.events()
    assert notified.is_set()
    assert (started.kind, started.episode_id) == (EventKind.STARTED, "e1")
    assert (saved.kind, saved.outcome, saved.reason, saved.steps) == (EventKind.SAVED, "SUCCESS", "because", 4)
    assert (saved.takeovers, saved.intervention_share) == (1, 0.5)
    episode = read_episode(saved.path)
    assert episode.ticks.tolist() == [1, 2, 3, 4]
    assert (
        episode.losses
        == saved.counts
        == {
            "commands_lost": 2,
            "frames_lost": 2,
            "frames_recorded": 4,
            "out_of_order": 0,
            "steps_dropped": 0,
            "steps_unpaired": 0,
        }
    )
    assert saved.message_fields()["frames_recorded"] == 4
    assert (saved.adapter_versions, saved.begin_ns) == ((2,), 100_000_000)


def test_an_episode_names_the_adapters_that_drove_after_its_pre_roll(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(dataclasses.replace(make_info(), pre_roll_steps=2))
    for tick, (version, source) in enumerate([(9, POLICY), (9, POLICY), (4, POLICY), (5, HUMAN), (0, POLICY)], 1):
        writer.append(dataclasses.replace(make_step(tick, source), adapter_version=version))
    writer.end(end())
    saved = finish(writer)[EventKind.SAVED]
    assert (saved.adapter_versions, saved.begin_ns) == ((0, 4), 300_000_000)
    assert saved.message_fields()["adapter_versions"] == [0, 4]


def test_the_time_of_the_operator_is_that_of_the_file(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(dataclasses.replace(make_info(), pre_roll_steps=1))
    for tick, (version, source) in enumerate([(3, POLICY), (3, HUMAN), (4, HUMAN), (4, POLICY)], 1):
        writer.append(dataclasses.replace(make_step(tick, source), adapter_version=version))
    writer.end(end(until_ns=300_000_000))
    saved = finish(writer)[EventKind.SAVED]
    assert saved.watched == Watched("SUCCESS", 0.3, 1, 0.6667, (3, 4))
    assert rounds([saved.watched]) == rounds([summarise(read_episode(saved.path))])


def test_steps_after_the_last_observation_are_cut_off(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    for tick, source in enumerate((POLICY, POLICY, HUMAN), 1):
        writer.append(make_step(tick, source))
    writer.end(end(until_ns=200_000_000))
    saved = finish(writer)[EventKind.SAVED]
    assert (saved.steps, saved.takeovers, saved.counts["frames_recorded"]) == (2, 0, 2)
    assert read_episode(saved.path).ticks.tolist() == [1, 2]


@pytest.mark.parametrize(("steps", "outcome"), [(2, None), (0, Outcome.SUCCESS)])
def test_discarded_and_empty_episodes_leave_nothing(make_writer, make_info, make_step, tmp_path, steps, outcome):
    writer = make_writer()
    writer.begin(make_info())
    for tick in range(1, steps + 1):
        writer.append(make_step(tick))
    writer.end(end(outcome))
    events = finish(writer)
    assert set(events) == {EventKind.STARTED, EventKind.DISCARDED}
    assert "because" in events[EventKind.DISCARDED].reason
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_full_disk_fails_the_episode_and_the_next_one_is_written(make_writer, make_info, make_step):
    files = {"e1": BrokenFile, "e2": EpisodeWriter}
    writer = make_writer(open_file=lambda directory, info, *rest: files[info.episode_id](directory, info, *rest))
    for episode in files:
        writer.begin(make_info(episode))
        for tick in range(1, 5):
            writer.append(make_step(tick))
        writer.end(end())
    writer.close()
    events = writer.events()
    assert [(event.kind, event.episode_id) for event in events] == [
        (EventKind.STARTED, "e1"),
        (EventKind.FAILED, "e1"),
        (EventKind.STARTED, "e2"),
        (EventKind.SAVED, "e2"),
    ]
    assert "No space left on device" in events[1].reason and "apo episodes recover" in events[1].reason


def test_file_that_cannot_be_opened_fails_the_episode(make_writer, make_info, make_step):
    writer = make_writer()
    for _ in range(2):
        writer.begin(make_info())
        writer.append(make_step(1))
        writer.end(end())
    writer.close()
    events = writer.events()
    assert [event.kind for event in events] == [EventKind.STARTED, EventKind.SAVED, EventKind.FAILED]
    assert "exists already" in events[2].reason


def test_control_path_never_waits_for_the_disk(make_writer, make_info, make_step):
    GatedFile.gate.clear()
    GatedFile.entered.clear()
    writer = make_writer(queue_steps=3, open_file=GatedFile)
    writer.begin(make_info())
    assert writer.append(make_step(1))
    assert GatedFile.entered.wait(WAIT_S)  # the thread hangs on the first step
    assert [writer.append(make_step(tick)) for tick in range(2, 7)] == [True, True, True, False, False]
    writer.end(end(drops=DropCounts(steps_dropped=2, frames_lost=2)))
    GatedFile.gate.set()
    saved = finish(writer)[EventKind.SAVED]
    assert (saved.steps, saved.counts["steps_dropped"]) == (4, 2)


def misfitting(step, width=float("nan")):
    step.observation.state["width"][0] = width
    return step


def test_misfitting_step_is_a_loss_of_its_own(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    writer.append(misfitting(make_step(1)))
    writer.append(make_step(2))
    writer.end(end())
    saved = finish(writer)[EventKind.SAVED]
    assert (saved.steps, saved.counts["steps_dropped"], saved.counts["frames_lost"]) == (1, 1, 1)
    why = "state 'width' is not finite (contract: small_contract)"
    assert writer.rejections == {why: 1}
    assert saved.reason == f"because; 1 steps were rejected: {why}"
    assert read_episode(saved.path).rejections == {why: 1}


def test_steps_that_no_arbiter_sends_are_losses_with_their_reason(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    writer.append(make_step(5))
    foreign = make_step(6)
    writer.append(dataclasses.replace(foreign, executed_action=foreign.executed_action + 100.0))
    writer.append(make_step(4))
    writer.append(make_step(7))
    writer.end(end())
    saved = finish(writer)[EventKind.SAVED]
    assert (saved.steps, saved.counts["steps_dropped"]) == (2, 2)
    assert read_episode(saved.path).rejections == {
        "the executed 'a' is outside of -1.0 .. 1.0 m/s, which the arbiter keeps to": 1,
        "its observation is older than that of the step before": 1,
    }


def test_the_end_of_an_episode_of_rejected_steps_alone_has_the_reason(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    for tick in range(1, 4):
        writer.append(misfitting(make_step(tick), tick * float("inf")))
    writer.end(end())
    discarded = finish(writer)[EventKind.DISCARDED]
    assert discarded.reason.startswith(
        "no step was recorded (because); 3 steps were rejected: state 'width' is not finite"
    )


def test_what_was_lost_before_the_writer_is_in_the_reason_and_in_the_file(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    writer.append(make_step(1))
    unusable = make_step(2)
    unusable.observation.state["width"][0] = float("nan")
    writer.append(unusable)
    lost = {"the arbiter knew no observation": 3}
    writer.end(dataclasses.replace(end(drops=DropCounts(steps_unpaired=3)), causes=lost))
    saved = finish(writer)[EventKind.SAVED]
    assert "; 1 steps were rejected: state 'width' is not finite" in saved.reason
    assert saved.reason.endswith("; 3 steps were lost: the arbiter knew no observation")
    assert sorted(read_episode(saved.path).rejections.values())[-1] == 3
    assert (saved.counts["steps_unpaired"], saved.counts["steps_dropped"]) == (3, 1)


def test_the_end_of_an_episode_without_commands_has_the_reason(make_writer, make_info):
    writer = make_writer()
    writer.begin(make_info())
    writer.end(dataclasses.replace(end(), note="no command of the arbiter arrived"))
    reason = finish(writer)[EventKind.DISCARDED].reason
    assert reason == "no step was recorded (because); no command of the arbiter arrived"


def test_rejections_are_those_of_the_episode_begun_last(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    writer.append(misfitting(make_step(1)))
    writer.end(end())
    writer.begin(make_info(episode_id="e2"))
    writer.append(make_step(2))
    writer.end(end())
    assert read_episode(finish(writer)[EventKind.SAVED].path).rejections == {}
    assert writer.rejections == {}


_FULL_DISK = """
import dataclasses, pathlib, pickle, sys
from apo_core.contract.contract import contract_from_dict
from apo_recorder.writer_thread import EpisodeWriterThread
import json
directory = pathlib.Path(sys.argv[1])
info, steps, ending = pickle.loads((directory / "work.pickle").read_bytes())
writer = EpisodeWriterThread(directory, contract_from_dict(json.loads(info.contract_json), "c"), "none", 10000)
writer.begin(info)
for _ in range(40):
    for step in steps:
        writer.append(step)
writer.end(ending)
writer.close()
for event in writer.events():
    print(event.kind, event.reason.splitlines()[0] if event.reason else "")
"""


def test_rejected_writes_fail_the_episode_without_a_crash(tmp_path, make_info, make_step):
    steps = [make_step(tick) for tick in range(1, 100)]
    (tmp_path / "work.pickle").write_bytes(pickle.dumps((make_info(), steps, end())))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    kinds = [line.split()[0] for line in done.stdout.splitlines()]
    assert kinds == ["STARTED", "FAILED"], (done.returncode, done.stderr)
    assert done.returncode == 0, done.stderr
    assert list_episodes(tmp_path) == []


def test_undo_moves_the_last_episode_out_of_the_data_set(make_writer, make_info, make_step, tmp_path):
    writer = make_writer()
    for name in ("e1", "e2"):
        writer.begin(make_info(name))
        writer.append(make_step(1))
        writer.end(end())
    for _ in range(3):
        writer.undo()
    writer.close()
    undone = [event for event in writer.events() if event.is_undo]
    assert [(event.kind, event.episode_id) for event in undone] == [
        (EventKind.DISCARDED, "e2"),
        (EventKind.DISCARDED, "e1"),
        (EventKind.FAILED, ""),
    ]
    assert undone[2].reason == "no episode was saved yet"
    assert [event.watched and event.watched.seconds for event in undone] == [0.1, 0.1, None]
    assert list_episodes(tmp_path) == []
    assert [path.name for path in list_episodes(tmp_path / ".discarded")] == ["e1.h5", "e2.h5"]
    assert read_episode(tmp_path / ".discarded" / "e1.h5").num_steps == 1


def test_undo_remembers_a_bounded_number_of_episodes(make_writer, make_info, make_step):
    writer = make_writer(undoable=2)
    for name in ("e1", "e2", "e3"):
        writer.begin(make_info(name))
        writer.append(make_step(1))
        writer.end(end())
    for _ in range(3):
        writer.undo()
    writer.close()
    undone = [(event.kind, event.episode_id) for event in writer.events() if event.is_undo]
    assert undone == [(EventKind.DISCARDED, "e3"), (EventKind.DISCARDED, "e2"), (EventKind.FAILED, "")]


def test_counts_of_the_streams_are_in_the_file(make_writer, make_info, make_step):
    writer = make_writer()
    writer.begin(make_info())
    writer.append(make_step(1))
    streams = {"front": {"received": 3, "duplicates": 1}}
    writer.end(dataclasses.replace(end(), streams=streams))
    assert read_episode(finish(writer)[EventKind.SAVED].path).streams == streams


def test_full_disk_leaves_what_was_written_to_recover(make_writer, make_info, make_step, tmp_path):
    writer = make_writer(open_file=BrokenFile)
    writer.begin(make_info())
    for tick in range(1, 5):
        writer.append(make_step(tick))
    writer.end(end())
    finish(writer)
    (journal,) = list_partial(tmp_path)
    assert read_episode(recover_episode(journal)).ticks.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (WriterEvent(EventKind.FAILED, "e1", reason="disk"), "FAILED e1: disk"),
        (
            WriterEvent(EventKind.SAVED, "e1", reason="over", steps=4, counts={"frames_lost": 2, "out_of_order": 0}),
            "SAVED e1: 4 steps, over, frames_lost 2",
        ),
    ],
)
def test_log_line_of_an_event(event, text):
    assert event.text == text
