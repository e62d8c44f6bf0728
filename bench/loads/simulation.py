"""A simulation that steps and renders as fast as it can, for benchmarks of what it does to others."""

from __future__ import annotations

import numpy as np

from apo_core.system.parent_death import end_with_parent
from apo_sim_bridge.sim.env import SimConfig, SimEnv


def main() -> None:
    end_with_parent()
    env = SimEnv(SimConfig())
    seed = 0
    while True:
        env.reset(seed)
        seed += 1
        for _ in range(100):
            env.step(np.zeros(7, np.float32))


if __name__ == "__main__":
    main()
