"""What must run before a session may begin. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from apo_core.contract.contract import Contract

# two of them would mix the data of two stacks
ONE_PUBLISHER = ("task/status", "command", "policy/chunk", "trainer/status")


def expected_subscribers(contract: Contract, robot_topics: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Topic -> nodes that must subscribe to it before the first trial, in a simulation with the scripted operator.

    A message published before its subscriber exists is lost: an episode would begin with a gap.

    Args:
        contract: the sensors.
        robot_topics: commands of the simulated robot.

    Raises:
        ObservationError: the contract has no `ee_pose` or no `gripper_width`.
    """
    pose, gripper = contract.state_spec("ee_pose").topic, contract.state_spec("gripper_width").topic
    sensors = [spec.topic for spec in contract.images] + [spec.topic for spec in contract.state]
    wanted = {topic: {"policy", "recorder"} for topic in sensors}
    wanted[pose] |= {"arbiter", "teleop"}
    wanted[gripper] |= {"teleop"}
    wanted |= {
        "ground_truth/objects": {"teleop"},
        "task/status": {"recorder", "teleop"},
        "policy/chunk": {"arbiter"},
        "operator/command": {"arbiter"},
        "command": {"policy", "recorder"},
        **{topic: {"sim_bridge"} for topic in robot_topics},
    }
    return {topic: tuple(sorted(names)) for topic, names in wanted.items()}


def missing_parts(
    services: Mapping[str, bool],
    policy_serves: bool,
    expected: Mapping[str, Collection[str]],
    subscribed: Mapping[str, Collection[str]],
) -> list[str]:
    """What a session still waits for, as text; empty when it may begin.

    Args:
        services: service -> whether it can be called.
        policy_serves: the policy has reported the adapter that it serves.
        expected: topic -> nodes that must subscribe to it.
        subscribed: topic -> nodes that do.
    """
    missing = [name for name, ready in services.items() if not ready]
    if not policy_serves:
        missing.append("policy/adapter_status")
    unsubscribed: dict[str, list[str]] = {}
    for topic, names in expected.items():
        for name in names:
            if name not in subscribed.get(topic, ()):
                unsubscribed.setdefault(name, []).append(topic)
    return missing + [f"{name} to subscribe to {' and '.join(topics)}" for name, topics in sorted(unsubscribed.items())]


def starting_line(seconds: float, missing: Sequence[str]) -> str:
    """The live line while the nodes start."""
    return f"starting the nodes, {seconds:.0f} s; waiting for {', '.join(missing)}"


def second_publishers(publishers: Mapping[str, int]) -> str:
    """Why a session must not begin, from the number of publishers on each topic; empty when it may."""
    double = [topic for topic, count in publishers.items() if count > 1]
    if not double:
        return ""
    return (
        f"{', '.join(double)} come from more than one node: another stack runs in this ROS domain; "
        "stop it, or set another ROS_DOMAIN_ID"
    )
