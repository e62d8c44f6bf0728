"""Demonstrations of the scripted expert as episode files: made once, kept, and completed after an interruption."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.pool import AsyncResult, Pool
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.contract.contract import Contract, load_contract
from apo_core.errors import ApoError, ConfigError
from apo_core.system.atomic_files import replace_file
from apo_core.tasks.expert import make_expert
from apo_core.tasks.specs import task_names, task_spec
from apo_core.types import (
    PERTURBATION,
    ControlSource,
    EpisodeInfo,
    EpisodeKind,
    EpisodeOutcome,
    Observation,
    Outcome,
    Step,
)
from apo_episodes.reader import list_episodes
from apo_episodes.writer import EpisodeWriter
from apo_sim_bridge.config import SimBridgeConfig, sim_config
from apo_sim_bridge.demonstrations.collect import NoiseBursts, collect, scaled_noise
from apo_sim_bridge.perturbation.settings import Perturbation
from apo_sim_bridge.sim.env import SimEnv, SimFrame
from apo_sim_bridge.sim.ground_truth import task_remaining, task_stages

OPERATOR = "scripted_expert"
HOLD_STEPS = 6  # after the first success, so that the data shows what to do then
_LEDGER = "demonstrations.json"
TRIES_PER_EPISODE = 10  # seeds, when the expert fails


def frame_state(frame: SimFrame) -> dict[str, np.ndarray]:
    """The parts of the state that config/contract.yaml names, {key: float32 (n,)}."""
    return {
        "ee_pose": np.concatenate([frame.ee_position, frame.ee_quaternion]).astype(np.float32),
        "gripper_width": np.array([frame.gripper_width], dtype=np.float32),
        "joint_position": frame.joint_positions.astype(np.float32),
        "joint_velocity": frame.joint_velocities.astype(np.float32),
    }


def frame_observation(frame: SimFrame, stamp_ns: int, instruction: str) -> Observation:
    """What the simulated robot's topics report at one instant."""
    return Observation(stamp_ns, frame.images, frame_state(frame), instruction)


def ensure_demonstrations(
    task: str,
    directory: Path | str,
    episodes: int,
    seed: int,
    noise: NoiseBursts | None = NoiseBursts(),  # noqa: B008  frozen
    instruction: str | None = None,
    contract: Contract | None = None,
    progress: Callable[[str], None] | None = None,
    workers: int | None = None,
    perturbation: Perturbation = Perturbation(),  # noqa: B008  frozen
) -> list[Path]:
    """Makes a directory hold successful demonstrations; existing episodes are kept, so a second call is quick.

    The episodes are the first `episodes` successes of the seeds `seed`, `seed` + 1, ...: the same on every machine.

    Args:
        task: name in tasks.specs.
        directory: of the episode files.
        episodes: wanted number.
        seed: first one.
        noise: bursts in the executed action, scaled by the task; the recorded human action stays the expert's.
        instruction: of the episodes; the task's own if None.
        contract: of the episodes; config/contract.yaml if None.
        progress: takes a line of text a few times a second; prints if None.
        workers: processes; up to 2 if None.
        perturbation: of the simulation, without its delays and losses; stored in each file's tags.

    Returns:
        Paths of the wanted number of files, by seed.

    Raises:
        ConfigError: an unknown task, or a directory made with other settings.
        ApoError: the expert fails too often, or a simulation died.
    """
    if task not in task_names():
        raise ConfigError("demonstrations", [f"task = {task!r} is not one of {list(task_names())}"])
    directory, noise = Path(directory), noise and scaled_noise(noise, task)
    contract = contract or load_contract("config/contract.yaml")
    instruction = instruction or task_spec(task).instruction
    report = progress or _printer()
    ledger = _Ledger(directory, task, seed, noise, instruction, contract, perturbation.still)
    if len(ledger.successes) < episodes:
        _collect_missing(ledger, episodes, report, workers or min(2, os.cpu_count() or 1))
    return [ledger.path(number) for number in ledger.successes[:episodes]]


def _printer(every_s: float = 5.0) -> Callable[[str], None]:
    last = -every_s

    def show(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            print(text, flush=True)

    return show


class _Ledger:
    """Which seeds were tried with which settings; its file makes the work resumable."""

    def __init__(
        self,
        directory: Path,
        task: str,
        seed: int,
        noise: NoiseBursts | None,
        instruction: str,
        contract: Contract,
        perturbation: Perturbation,
    ):
        self.perturbation = perturbation
        self.directory, self.task, self.noise, self.instruction = directory, task, noise, instruction
        self.contract, self._first = contract, seed
        self._file = directory / _LEDGER
        settings = {
            "task": task,
            "seed": seed,
            "noise": dataclasses.asdict(noise) if noise else None,
            "instruction": instruction,
            "contract_sha256": contract.sha256,
            "hold_steps": HOLD_STEPS,
            "max_steps": task_spec(task).demonstration_steps,
            "perturbation": perturbation.text or None,
        }
        self._settings = settings
        self._failures: list[int] = []
        if self._file.exists():
            before, self._failures = self._read()
            faults = [
                f"{key} = {settings[key]!r}, but its episodes were made with {before.get(key)!r}"
                for key in settings
                if before.get(key) != settings[key]
            ]
            if faults:
                raise ConfigError(f"{directory} (remove it or choose another folder)", faults)
        self._made = {path.name for path in list_episodes(directory)}

    def _read(self) -> tuple[dict[str, Any], list[int]]:
        try:
            known = json.loads(self._file.read_text())
            return dict(known["settings"]), list(known["failures"])
        except (ValueError, KeyError, TypeError) as error:
            what = f"cannot be read ({type(error).__name__}: {error}); remove it, the episodes beside it are kept"
            raise ConfigError(str(self._file), [what]) from None

    @property
    def successes(self) -> list[int]:
        """Seeds with a file, without a gap in what was tried."""
        found, number = [], self._first
        while number in self._failures or self.path(number).name in self._made:
            if number not in self._failures:
                found.append(number)
            number += 1
        return found

    @property
    def next_seed(self) -> int:
        number = self._first
        while number in self._failures or self.path(number).name in self._made:
            number += 1
        return number

    def path(self, number: int) -> Path:
        return self.directory / f"{task_spec(self.task).file_name}-{number:08d}.h5"

    def add(self, number: int, steps: list[Step] | None) -> None:
        """Records the result of a seed: its steps, or None for a failure."""
        if steps is None:
            self._failures.append(number)
        else:
            info = EpisodeInfo(
                episode_id=self.path(number).stem,
                kind=EpisodeKind.DEMONSTRATION,
                task=self.task,
                instruction=self.instruction,
                seed=number,
                operator=OPERATOR,
                contract_json=self.contract.json,
                created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
                tags={PERTURBATION: self.perturbation.text} if self.perturbation.text else {},
            )
            writer = EpisodeWriter(self.directory, info, self.contract)
            try:
                for step in steps:
                    writer.append(step)
            except BaseException:
                writer.discard()
                raise
            writer.finish(EpisodeOutcome(Outcome.SUCCESS, "task success", terminated=True, truncated=False))
            self._made.add(self.path(number).name)
        self.save()

    def save(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        document = {"settings": self._settings, "failures": self._failures}
        replace_file(self._file, json.dumps(document, indent=2) + "\n")


def _collect_missing(ledger: _Ledger, episodes: int, report: Callable[[str], None], workers: int) -> None:
    ledger.save()
    started, before = time.monotonic(), len(ledger.successes)
    first = ledger.next_seed
    last = first + TRIES_PER_EPISODE * episodes

    def line() -> str:
        done = len(ledger.successes)
        spent = time.monotonic() - started
        eta = f", {spent / (done - before) * (episodes - done):.0f} s left" if done > before else ""
        return f"expert demonstrations of {ledger.task}: {done}/{episodes}{eta}"

    report(line())
    with _demonstrations(ledger, range(first, last), workers) as results:
        for number in range(first, last):
            while True:
                try:
                    steps = results.next(timeout=0.5)
                    break
                except TimeoutError:
                    report(line())
            ledger.add(number, steps)
            report(line())
            if len(ledger.successes) >= episodes:
                return
    raise ApoError(
        f"{ledger.directory}: the expert succeeded in {len(ledger.successes)} of {last - first} tries, "
        f"{episodes} episodes are wanted; weaken the noise (NoiseBursts)"
    )


@contextmanager
def _demonstrations(ledger: _Ledger, seeds: range, workers: int) -> Iterator:
    """Results in the order of the seeds; workers are processes of their own, since a GL context belongs to a thread."""
    arguments = (ledger.task, ledger.noise, ledger.instruction, ledger.contract, ledger.perturbation)
    pool = get_context("spawn").Pool(workers, initializer=_start_worker, initargs=arguments)
    try:
        # a bounded look-ahead, so that at most a few episodes are simulated in vain
        yield _Ordered(pool, seeds, ahead=2 * workers)
    finally:
        pool.terminate()
        pool.join()


class _Ordered:
    """Results of a pool in order, with a few seeds in flight."""

    def __init__(self, pool: Pool, seeds: range, ahead: int):
        self._pool, self._seeds = pool, iter(seeds)
        self._pending: list[AsyncResult] = []
        for _ in range(ahead):
            self._submit()

    def next(self, timeout: float) -> list[Step] | None:
        """Raises TimeoutError when the next result is not there yet, ApoError when a simulation failed."""
        from multiprocessing import TimeoutError as PoolTimeoutError

        try:
            result = self._pending[0].get(timeout)
        except PoolTimeoutError:
            raise TimeoutError from None
        self._pending.pop(0)
        self._submit()
        return result

    def _submit(self) -> None:
        seed = next(self._seeds, None)
        if seed is not None:
            self._pending.append(self._pool.apply_async(_run_seed, (seed,)))


_worker: dict = {}


def _start_worker(
    task: str, noise: NoiseBursts | None, instruction: str, contract: Contract, perturbation: Perturbation
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    bridge = SimBridgeConfig(task=task, horizon=task_spec(task).demonstration_steps, perturbation=perturbation)
    _worker.update(
        config=sim_config(bridge, contract), task=task, noise=noise, instruction=instruction, contract=contract
    )


def _run_seed(seed: int) -> list[Step] | None:
    """The steps of one demonstration, None if the expert failed."""
    if "env" not in _worker:
        try:
            # made here and not in the initializer: a pool restarts a worker whose initializer fails, endlessly
            _worker["env"] = SimEnv(_worker["config"])
        except Exception as error:
            raise ApoError(f"the simulation cannot start: {error}") from None
    return demonstration_steps(
        _worker["env"], _worker["task"], seed, _worker["noise"], _worker["instruction"], _worker["contract"]
    )


def demonstration_steps(
    env: SimEnv, task: str, seed: int, noise: NoiseBursts | None, instruction: str, contract: Contract
) -> list[Step] | None:
    """One demonstration as recorded steps, stamps starting at one period; None if it did not end in success."""
    steps, last = [], None
    course = collect(env, make_expert(task), seed, noise, task_spec(task).demonstration_steps, HOLD_STEPS)
    for index, one in enumerate(course):
        stamp = (index + 1) * contract.period_ns
        last = one.next_frame
        steps.append(
            Step(
                tick=index,
                observation=frame_observation(one.frame, stamp, instruction),
                executed_action=one.executed_action,
                policy_action=None,
                human_action=one.expert_action,
                source=ControlSource.HUMAN,
                reason="demonstration",
                adapter_version=0,
                command_stamp_ns=stamp,
                chunk_stamp_ns=0,
                receive_ns=stamp,
                task_remaining=task_remaining(task, one.frame),
                task_stages=task_stages(task, one.frame),
            )
        )
    return steps if last is not None and last.success else None
