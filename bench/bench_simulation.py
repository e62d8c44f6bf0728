"""A control step of the simulation of each task, with the images of the contract: two cameras of 84 x 84 pixels."""

from __future__ import annotations

import statistics
import time

from figure import Figure

from apo_core.tasks.expert import make_expert
from apo_core.tasks.specs import TASKS
from apo_sim_bridge.sim.env import SimConfig, SimEnv
from apo_sim_bridge.sim.ground_truth import expert_input

SEED = 310_000
STEPS = 150  # of the task's expert
WARMUP = 10  # steps that are not counted
GOAL_MS = 30.0


def step_times_ms(task: str) -> list[float]:
    """Milliseconds of each step: physics, state and images; the expert's own time is not counted."""
    times = []
    with SimEnv(SimConfig(task=task)) as env:
        expert, frame = make_expert(task), env.reset(SEED)
        for _ in range(STEPS):
            action = expert.act(expert_input(frame))
            started = time.perf_counter()
            frame = env.step(action)
            times.append((time.perf_counter() - started) * 1e3)
    return times[WARMUP:]


def main() -> None:
    for task in TASKS:
        times = step_times_ms(task)
        Figure(f"sim_step_ms_{task}", statistics.median(times), "ms", GOAL_MS, True, len(times)).emit()


if __name__ == "__main__":
    main()
