"""Which fault comes when: a list that depends on the seed alone. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

NODES = ("sim_bridge", "policy", "arbiter", "teleop", "recorder", "trainer")
MACHINES = ("policy", "arbiter", "trainer")  # nodes with a machine of their own
# topic -> short type, of everything that a node subscribes to
TOPICS = {
    "ee_pose": "geometry_msgs/PoseStamped",
    "policy/chunk": "apo_interfaces/ActionChunk",
    "policy/adapter_status": "apo_interfaces/AdapterStatus",
    "operator/command": "apo_interfaces/OperatorCommand",
    "command": "apo_interfaces/ActionCommand",
    "task/status": "apo_interfaces/TaskStatus",
    "recorder/event": "apo_interfaces/EpisodeEvent",
    "agentview/image_raw": "sensor_msgs/Image",
    "wrist/image_raw": "sensor_msgs/Image",
    "joint_states": "sensor_msgs/JointState",
    "gripper/joint_states": "sensor_msgs/JointState",
    "ground_truth/objects": "geometry_msgs/PoseArray",
    "cartesian_command": "geometry_msgs/TwistStamped",
    "gripper_command": "trajectory_msgs/JointTrajectory",
    "estop": "std_msgs/Bool",
}
VALUES = ("extreme", "mutated", "not_finite", "empty", "frame", "stale", "future", "raw", "wrong_type")
ADAPTERS = ("random_bytes", "pickle", "truncated", "wrong_base", "not_finite", "wrong_shape", "link", "no_folder")
EPISODES = ("random_bytes", "empty", "truncated", "flipped", "folder", "pipe", "link", "sparse")


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A kind of fault: what it acts on, in which variants, for how long."""

    name: str
    targets: tuple[str, ...]
    styles: tuple[str, ...] = ("",)
    shortest_s: float = 0.0
    longest_s: float = 0.0
    needs: str = ""  # disk, machines: what must be set up for it; empty: nothing
    weight: int = 1  # share of the schedule


KINDS = (
    FaultKind("kill", NODES, weight=3),
    FaultKind("stop", NODES, shortest_s=0.1, longest_s=4.0, weight=3),
    FaultKind("clock", ("/clock",), ("forward", "back", "zero", "jitter"), 0.05, 1.5, weight=2),
    FaultKind("garbage", tuple(TOPICS), VALUES, 0.2, 1.5, weight=5),
    FaultKind("estop", ("estop",), ("topic", "service"), 0.5, 1.0),
    FaultKind("reader", ("log",), ("silent", "flooded"), 1.0, 4.0),
    FaultKind("adapter", ("store",), ADAPTERS, 2.0, 4.0, weight=2),
    FaultKind("episode", ("folder",), EPISODES, 2.0, 4.0, weight=2),
    FaultKind("disk_full", ("episodes",), shortest_s=1.0, longest_s=4.0, needs="disk"),
    FaultKind("disk_slow", ("episodes",), shortest_s=1.0, longest_s=4.0, needs="disk"),
    FaultKind("loss", MACHINES, ("5", "20", "50"), 1.0, 3.0, needs="machines"),
    FaultKind("delay", MACHINES, ("20", "100", "400"), 1.0, 3.0, needs="machines"),
    FaultKind("partition", MACHINES, shortest_s=0.3, longest_s=4.0, needs="machines", weight=2),
)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """One fault of a schedule."""

    index: int
    kind: str
    target: str
    style: str
    duration_s: float  # between its beginning and its end
    pause_s: float  # of undisturbed running before it
    seed: int  # of what it draws itself

    @property
    def text(self) -> str:
        """The fault in words."""
        return " ".join(filter(None, [self.kind, self.target, self.style, f"{self.duration_s:.2f} s"]))


def chosen_kinds(wanted: Sequence[str], without: Sequence[str], available: Sequence[str]) -> list[FaultKind]:
    """The kinds of a schedule.

    Args:
        wanted: names; empty: all.
        without: names that are left out.
        available: what is set up, of `needs`.

    Raises:
        ValueError: a name is unknown, or nothing is left.
    """
    names = [kind.name for kind in KINDS]
    unknown = [name for name in (*wanted, *without) if name not in names]
    if unknown:
        raise ValueError(f"no fault {', '.join(map(repr, unknown))}; the faults are {', '.join(names)}")
    made = [kind for kind in KINDS if kind.name not in without and (not wanted or kind.name in wanted)]
    made = [kind for kind in made if not kind.needs or kind.needs in available]
    if not made:
        raise ValueError("no fault is left of those chosen")
    return made


def make_schedule(seed: int, count: int, kinds: Sequence[FaultKind]) -> list[PlannedFault]:
    """`count` faults in the order of their beginnings; the same for the same arguments.

    Each kind appears as often as its weight, and goes through its targets and styles before it repeats one.
    """
    rng = random.Random(seed)
    bag: list[FaultKind] = []
    decks: dict[str, list[tuple[str, str]]] = {}
    made = []
    for index in range(count):
        if not bag:
            bag = [kind for kind in kinds for _ in range(kind.weight)]
            rng.shuffle(bag)
        kind = bag.pop()
        deck = decks.setdefault(kind.name, [])
        if not deck:
            deck.extend((target, style) for target in kind.targets for style in kind.styles)
            rng.shuffle(deck)
        target, style = deck.pop()
        duration_s = round(rng.uniform(kind.shortest_s, kind.longest_s), 3)
        pause_s = round(rng.uniform(0.1, 1.5), 3)
        made.append(PlannedFault(index, kind.name, target, style, duration_s, pause_s, rng.randrange(2**31)))
    return made
