from dataclasses import replace

import h5py
import numpy as np
import pytest

from apo_core.types import EpisodeKind, EpisodeOutcome, Outcome
from apo_episodes.inspection.validate import validate
from apo_episodes.writer import EpisodeWriter


def faults(path, **options):
    return validate(path, **options).faults


def test_recordings_are_valid(takeovers):
    results = [validate(path) for path in sorted(takeovers.glob("*.h5"))]
    assert [result.faults for result in results] == [[]] * 4


def test_an_episode_as_it_is_written_is_valid(write):
    result = validate(write("PPOHHP"))
    assert (result.faults, result.warnings, result.is_valid) == ([], [], True)


def test_steps_that_the_recorder_rejected_are_a_warning(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path, make_info(), small_contract)
    step = make_step(1)
    step.observation.state["ee_pose"][:] = [0, 0, 0, 0, 0, 0, 1]
    writer.append(step)
    done = EpisodeOutcome(Outcome.SUCCESS, "test", terminated=True, truncated=False)
    path = writer.finish(done, rejections={"state 'width' is not finite": 161})
    result = validate(path)
    assert result.faults == []
    assert result.warnings == ["rejections: 161 steps were not recorded: state 'width' is not finite"]


def test_what_is_no_episode_is_a_fault_of_the_schema(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"no HDF5")
    (fault,) = faults(path)
    assert fault.startswith("schema: ") and str(path) not in fault.split("(")[0]


def changed_observation(step, **fields):
    return replace(step, observation=replace(step.observation, **fields))


def at(wanted, change):
    return lambda index, step: change(step) if index == wanted else step


SOME = np.full(7, 0.1, np.float32)
HALF = np.array([0.1, np.nan, 0, 0, 0, 0, 0], np.float32)
BIG = np.array([0, 0, 1.5, 0, 0, 0, 0], np.float32)


@pytest.mark.parametrize(
    ("sources", "change", "expected"),
    [
        ("PPHP", at(1, lambda s: replace(s, policy_action=HALF)), "finite: action/policy is neither finite nor absent"),
        ("PPHP", at(2, lambda s: replace(s, human_action=SOME * np.inf)), "finite: action/human is neither"),
        ("PPHP", at(1, lambda s: replace(s, executed_action=BIG)), "ranges: action/executed 'c' reaches 1.5"),
        (
            "PPPP",
            at(2, lambda s: changed_observation(s, stamp_ns=50_000_000)),
            "stamps: observation stamps go back in time: 1 step(s), the first is 2",
        ),
        ("PPPP", at(2, lambda s: replace(s, command_stamp_ns=5)), "stamps: command stamps go back in time"),
        ("PPPP", at(2, lambda s: replace(s, receive_ns=5)), "stamps: receive stamps go back in time"),
        ("PPPP", at(3, lambda s: changed_observation(s, stamp_ns=10**12)), "stamps: observation stamps lie after"),
        ("PPPP", at(3, lambda s: replace(s, chunk_stamp_ns=10**12)), "stamps: chunk stamps lie after the command"),
        ("PPHP", at(2, lambda s: replace(s, human_action=None)), "labels: HUMAN decided, but its action is absent"),
        ("PPHP", at(0, lambda s: replace(s, policy_action=None)), "labels: POLICY decided, but its action is absent"),
    ],
)
def test_a_fault_is_named_with_its_check_and_step(write, sources, change, expected):
    found = faults(write(sources, change=change))
    assert any(fault.startswith(expected) for fault in found), found


def test_a_pose_needs_a_unit_quaternion(write):
    pose = np.array([0, 0, 1, 0, 0, 0, 0.5], np.float32)

    def change(step):
        return changed_observation(step, state={**step.observation.state, "ee_pose": pose})

    found = faults(write("PPP", change=at(1, change)))
    assert any(fault.startswith("ranges: state 'ee_pose' has quaternions that are not of norm 1") for fault in found)


def test_a_demonstration_is_driven_by_its_expert(write):
    assert faults(write("HHH", "good", kind=EpisodeKind.DEMONSTRATION)) == []
    found = faults(write("HOH", "bad", kind=EpisodeKind.DEMONSTRATION))
    assert found == ["labels: a demonstration is not driven by its expert: 1 step(s), the first is 1"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (at(1, lambda s: replace(s, policy_action=BIG)), "ranges: action/policy 'c' reaches 1.5"),
        (at(3, lambda s: replace(s, tick=9)), "stamps: control ticks are missing before 1 step(s), the first is 3"),
        (at(1, lambda s: changed_observation(s, stamp_ns=100_000_000)), "stamps: observation stamps repeat"),
        (
            lambda i, s: changed_observation(s, header_stamps_ns={"front": s.observation.stamp_ns - 30_000_000}),
            "stamps: samples of 'front' are more than 20 ms off the observation: 4 step(s), the first is 0",
        ),
        (
            at(2, lambda s: changed_observation(s, images={"front": np.zeros((4, 6, 3), np.uint8)})),
            "images: camera 'front' is black in 1 frame(s)",
        ),
        (
            lambda i, s: replace(s, command_stamp_ns=s.observation.stamp_ns - 90_000_000),
            "stamps: observation stamps lie after the command that answers them by up to 90 ms, as clocks that differ: "
            "4 step(s), the first is 0",
        ),
        (
            at(3, lambda s: replace(s, chunk_stamp_ns=s.command_stamp_ns + 90_000_000)),
            "stamps: chunk stamps lie after the command by up to 90 ms, as clocks that differ: 1 step(s), the first is",
        ),
    ],
)
def test_what_is_odd_but_no_fault_is_a_warning(write, change, expected):
    result = validate(write("PPPP", change=change))
    assert result.faults == []
    assert any(warning.startswith(expected) for warning in result.warnings), result.warnings


def test_stamps_ahead_of_a_command_that_moved_nothing_are_no_fault(write):
    change = at(3, lambda s: replace(changed_observation(s, stamp_ns=10**12), chunk_stamp_ns=10**12))
    result = validate(write("PPPO", change=change))
    assert result.faults == []
    assert sum("lie after the command" in warning for warning in result.warnings) == 2


def test_header_stamps_must_rise(write):
    def change(index, step):
        back = 15_000_000 if index == 2 else 0
        stamp_ns = 1_000_000_000 + index * 10_000_000
        return replace(
            step,
            observation=replace(step.observation, stamp_ns=stamp_ns, header_stamps_ns={"front": stamp_ns - back}),
            command_stamp_ns=stamp_ns,
        )

    found = faults(write("PPPP", change=change))
    assert found == ["stamps: header stamps of 'front' go back in time: 1 step(s), the first is 2"]


@pytest.mark.parametrize("name", ["control/adapter_version", "observation/state/width"])
def test_a_value_changed_later_does_not_fit_its_checksum(write, name):
    path = write("PPPP")
    with h5py.File(path, "r+") as f:
        f[name][1] = 7
    assert f"checksums: '{name}' is not what was recorded" in faults(path)
    assert faults(path, images=False) == []


def test_optional_facts_are_no_fault(write, with_facts):
    assert faults(write("PPHP", change=with_facts)) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("action/policy_tokens", [-1, 0, 0, 0, 0, 0, 0], "tokens: action/policy_tokens are neither tokens nor unknown"),
        ("action/policy_tokens", [-2] * 7, "tokens: action/policy_tokens are neither tokens nor unknown"),
        ("action/policy", [np.nan] * 7, "tokens: action/policy_tokens are there without the policy's action"),
        ("task/remaining", np.inf, "finite: task/remaining is neither unknown"),
        ("task/remaining", -0.5, "finite: task/remaining is neither unknown"),
    ],
)
def test_optional_facts_that_cannot_be_are_faults(write, with_facts, name, value, expected):
    path = write("PPPP", change=with_facts)
    with h5py.File(path, "r+") as f:
        f[name][1] = value
    found = faults(path)
    assert any(fault.startswith(expected) and fault.endswith("1 step(s), the first is 1") for fault in found), found


def moving(index, step, **content):
    """The step of an arm that moves 10 mm in each; `content` replaces parts of its observation."""
    pose = np.array([0.01 * index, 0.2, 0.3, 0, 0, 0.6, 0.8], np.float32)
    images, state = content.get("images", step.observation.images), {**step.observation.state, "ee_pose": pose}
    return changed_observation(step, images=images, state=state | content.get("state", {}))


def test_a_frozen_camera_is_a_warning_with_its_steps(write):
    frame = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    frozen = lambda index, step: moving(index, step, **({"images": {"front": frame}} if index >= 5 else {}))  # noqa: E731
    result = validate(write("P" * 36, change=frozen))
    assert result.faults == []
    assert result.warnings == [
        "content: camera 'front' shows the same picture while the arm moved 0.30 m: steps 5 .. 35"
    ]
    assert validate(write("P" * 36, episode_id="e2", change=moving)).warnings == []


def test_a_pose_that_is_frozen_while_the_commands_move_is_a_warning(write):
    action = np.array([0.1, 0, 0, 0, 0, 0, -1], np.float32)
    path = write("P" * 30, change=lambda index, step: replace(step, executed_action=action))
    expected = "content: state 'ee_pose' has not changed while the commands move it 0.29 m: steps 0 .. 29"
    assert validate(path).warnings == validate(path, images=False).warnings == [expected]
