"""Fixtures of more than one package: a small contract, and observations and steps that fit it."""

import contextlib
import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hang_guard import *  # noqa: F403 (hooks of pytest)
from hypothesis import HealthCheck, settings
from small_contract import contract_data

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.system.shared_memory import remove_dead_segments
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, Observation, Step
from apo_sim_bridge.sim.rendering import prepare_backend

# before rclpy is imported; child processes inherit it. LOCALHOST would add shared memory to what the profile names.
_PROFILE = str(Path(__file__).parents[1] / "config" / "fastdds_loopback_udp.xml")
os.environ.update(
    RMW_IMPLEMENTATION="rmw_fastrtps_cpp",
    ROS_AUTOMATIC_DISCOVERY_RANGE="SYSTEM_DEFAULT",
    FASTRTPS_DEFAULT_PROFILES_FILE=_PROFILE,
    FASTDDS_DEFAULT_PROFILES_FILE=_PROFILE,
    APO_END_WITH_PARENT="1",  # no node outlives a test process that is killed
)

# before any test imports MuJoCo, which takes its GL library then and keeps it; rendering raises if there is none
with contextlib.suppress(RuntimeError):
    prepare_backend()

# a busy machine is slow at times, whatever the code
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_DOMAINS_OF_A_RUN = 20
_RTPS_PORT_BASE, _RTPS_PORTS_OF_A_DOMAIN = 7400, 250


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the longest files, from the start: two at a time are too much, and one at the end is waited for."""
    long: dict[Path, list[pytest.Item]] = {}
    others = []
    for item in items:
        (long.setdefault(item.path, []) if item.get_closest_marker("e2e") else others).append(item)
    places = [len(others) * index // len(long) for index in range(len(long))]
    for place, path in reversed(list(zip(places, sorted(long, reverse=True), strict=True))):
        while 0 < place < len(others) and others[place].path == others[place - 1].path:
            place += 1
        others[place:place] = long[path]
    items[:] = others


@pytest.fixture(scope="session", autouse=True)
def dead_segments_removed() -> Iterator[None]:
    """Frees what Fast DDS cannot: a node with shared memory that a test kills leaves 16 MB behind."""
    yield
    remove_dead_segments()


def _next_empty(ids: Iterator[int]) -> int:
    """The first domain that no participant of this machine is in, by its UDP ports (DDSI-RTPS 2.5, 9.6.2)."""
    lines = Path("/proc/net/udp").read_text().splitlines()[1:]
    ports = [int(line.split()[1].split(":")[1], 16) for line in lines]
    taken = {(port - _RTPS_PORT_BASE) // _RTPS_PORTS_OF_A_DOMAIN for port in ports}
    for domain in itertools.islice(ids, _DOMAINS_OF_A_RUN):
        if domain not in taken:
            return domain
    pytest.fail(f"all {_DOMAINS_OF_A_RUN} ROS domains of this run have participants: tests leave nodes behind")


@pytest.fixture(scope="session")
def next_domain() -> Iterator[Callable[[], int]]:
    """() -> a ROS domain id, 1..100, that no other test run on this machine uses and nobody is in."""
    for block in range(100 // _DOMAINS_OF_A_RUN):
        with open(f"/tmp/apo-test-domains-{os.getuid()}-{block}.lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            first = 1 + block * _DOMAINS_OF_A_RUN
            ids = itertools.cycle(range(first, first + _DOMAINS_OF_A_RUN))
            yield partial(_next_empty, ids)
            return
    pytest.fail("five other test runs on this machine use ROS; wait for one of them to end")


@pytest.fixture
def small_contract() -> Contract:
    """One 4 x 6 camera, a pose and a gripper at 10 Hz."""
    return contract_from_dict(contract_data(), "small_contract")


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    """(stamp_ns) -> an observation of the small contract, its contents drawn from the stamp."""

    def make(stamp_ns: int) -> Observation:
        rng = np.random.default_rng(stamp_ns)
        return Observation(
            stamp_ns=stamp_ns,
            images={"front": rng.integers(0, 256, (4, 6, 3), np.uint8)},
            state={"ee_pose": rng.random(7, np.float32), "width": rng.random(1, np.float32)},
            instruction="lift",
        )

    return make


@pytest.fixture
def make_step(make_observation) -> Callable[..., Step]:
    """(tick, source) -> a step of the small contract; its stamps are tick * 100 ms."""

    def make(tick: int, source: ControlSource = ControlSource.POLICY) -> Step:
        stamp_ns = tick * 100_000_000
        action = np.full(7, tick / 1000, np.float32)
        return Step(
            tick=tick,
            observation=make_observation(stamp_ns),
            executed_action=action,
            policy_action=None if source is ControlSource.HOLD else action,
            human_action=action if source is ControlSource.HUMAN else None,
            source=source,
            reason=f"because {tick}",
            adapter_version=2,
            command_stamp_ns=stamp_ns + 7,
            chunk_stamp_ns=stamp_ns,
            receive_ns=stamp_ns + 9,
        )

    return make


@pytest.fixture
def make_info(small_contract) -> Callable[..., EpisodeInfo]:
    """(episode_id) -> what is known of an episode."""

    def make(episode_id: str = "e1") -> EpisodeInfo:
        return EpisodeInfo(
            episode_id=episode_id,
            kind=EpisodeKind.INTERACTION,
            task="Lift",
            instruction="lift the cube",
            seed=5,
            operator="ann",
            contract_json=small_contract.json,
            created_utc="2026-01-02T03:04:05+00:00",
            tags={"round": "1"},
        )

    return make
