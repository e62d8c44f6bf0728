"""The simulation bridge with late and lost frames and late commands, over DDS."""

import importlib.util
import json

import numpy as np
import pytest

# looked for, not imported: an import would take MuJoCo's default GL library for the whole test process
if importlib.util.find_spec("robosuite") is None:
    pytest.skip("robosuite is missing: run 'make setup'", allow_module_level=True)
pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from sim_bridge_cell import HORIZON, PERIOD_NS, WAIT_S, launch, session

from apo_core.ros.conversions import to_ns
from apo_sim_bridge.perturbation.settings import StreamPerturbation
from apo_sim_bridge.perturbation.streams import FrameLink

STATE = {"joint_states", "gripper/joint_states", "ee_pose", "ground_truth/objects", "task/status"}
IMAGES = ("agentview/image_raw", "wrist/image_raw")
LOSSY = {"frame_drop_probability": 0.4, "frame_drop_burst": [1, 2]}
RISE = [0.0, 0.0, 0.3, 0.0, 0.0, 0.0, -1.0]


def follow(arm, seed, command):
    """Answers every tick of a trial; returns the stamps of those that were running, and that of the end."""
    stamp = arm.start(seed)
    stamps = [stamp]
    while arm.status(stamp).running:
        arm.send(stamp, command)
        arm.spin_until(lambda: arm.complete()[-1] > stamps[-1])
        stamp = arm.complete()[-1]
        stamps.append(stamp)
    return stamps[:-1], stamps[-1]


def heights(arm, stamps):
    return [arm.ticks[stamp]["ee_pose"].pose.position.z for stamp in stamps]


def test_lockstep_shows_frames_late_with_their_own_stamps(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=True, observation_delay_steps=[3, 3])
    arm = next(arms)
    stamps, end = follow(arm, 3, RISE)
    # the first frame is shown in step 3, and the last answer moves step 7
    steps = [arm.status(stamp).step for stamp in stamps]
    assert steps == list(range(HORIZON - 3)) and arm.status(end).step == HORIZON
    assert np.diff(stamps).tolist() == [PERIOD_NS] * (HORIZON - 4)
    for stamp in (*stamps, end):
        assert {to_ns(message.header.stamp) for message in arm.ticks[stamp].values()} == {stamp}
    # time goes on at once while frames are on their way
    start = stamps[0]
    arm.spin_until(lambda: arm.clock[-1] == end)
    assert [stamp for stamp in arm.clock if stamp >= start] == [start + i * PERIOD_NS for i in range(HORIZON + 1)]
    # what the arm did before the first answer, it did without a command
    rises = np.diff(heights(arm, stamps))
    assert np.abs(rises[:3]).max() < 1e-6 and rises[3] > 1e-3
    assert to_ns(arm.status(end).last_observation_stamp) == stamps[-1]
    assert json.loads(arm.status(end).perturbation) == {"observation_delay_steps": [3, 3]}
    assert next(arms, None) is None


def test_lockstep_repeats_its_bits_with_lost_frames(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=True, **LOSSY, observation_delay_steps=[0, 2])
    arm = next(arms)
    runs = [follow(arm, 11, RISE) for _ in range(2)]
    digests = [[arm.digest(stamp) for stamp in (*stamps, end)] for stamps, end in runs]
    steps = [[arm.status(stamp).step for stamp in stamps] for stamps, _ in runs]
    assert digests[0] == digests[1] and steps[0] == steps[1]
    assert 0 < len(steps[0]) < HORIZON and len(set(steps[0])) == len(steps[0])
    link = FrameLink(StreamPerturbation(**tuples(LOSSY), observation_delay_steps=(0, 2)), ("agentview", "wrist"), 11)
    assert steps[0] == [step for step in whole_frames(link) if step is not None]
    assert next(arms, None) is None


def tuples(values):
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def whole_frames(link):
    for step in range(HORIZON):
        link.send(step, step)
        yield link.newest_whole(step)


def test_lockstep_delays_commands(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=True, action_delay_steps=[4, 4])
    arm = next(arms)
    stamps, end = follow(arm, 3, RISE)
    assert len(stamps) == HORIZON
    rises = np.diff(heights(arm, [*stamps, end]))
    assert np.abs(rises[:4]).max() < 1e-6 and rises[4] > 1e-3
    # the newest command that was executed answers the observation of four steps before
    assert to_ns(arm.status(end).last_observation_stamp) == stamps[-5]
    assert next(arms, None) is None


def real_time_trial(arm, seed, horizon):
    """Step -> topics of which a message has come with the stamp of that step."""
    arm.start(seed)
    arm.spin_until(lambda: any(not arm.status(s).running and arm.status(s).step == horizon for s in arm.complete()))
    trial = [parts for _, parts in sorted(arm.ticks.items()) if is_running(parts, trial=1)]
    stamps = [to_ns(parts["task/status"].header.stamp) for parts in trial]
    assert np.diff(stamps).tolist() == [PERIOD_NS] * (horizon - 1)
    assert all(parts.keys() >= STATE for parts in trial)
    return {parts["task/status"].step: set(parts) & set(IMAGES) for parts in trial}


def is_running(parts, trial):
    status = parts.get("task/status")
    return status is not None and status.trial == trial and status.running


def test_real_time_publishes_images_late_and_state_at_once(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=False, observation_delay_steps=[3, 3], horizon=20)
    images = real_time_trial(next(arms), 3, 20)
    # what was still on its way when the trial ended never comes
    assert images == {step: set(IMAGES) if step < 17 else set() for step in range(20)}
    assert next(arms, None) is None


def test_real_time_loses_images_and_nothing_else(next_domain, meet):
    arms = session(next_domain(), meet, lockstep=False, **LOSSY, horizon=40)
    images = real_time_trial(next(arms), 6, 40)
    link = FrameLink(StreamPerturbation(**tuples(LOSSY)), ("agentview", "wrist"), 6)
    for step in range(40):
        link.send(step, step)
        assert images[step] == {f"{name}/image_raw" for _, names in link.arrived(step) for name in names}
    assert next(arms, None) is None


def test_a_perturbation_that_does_not_fit_ends_the_process(next_domain, capfd):
    process = launch(next_domain(), target_range_scale=0.5, light_intensity=[0.9, 0.1])
    assert process.wait(WAIT_S) == 2
    assert "light_intensity = (0.9, 0.1) must be (low, high)" in capfd.readouterr().err
