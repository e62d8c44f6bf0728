"""A training without end, with the niceness of the trainer's, for benchmarks of what it does to others."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from train_step.train_step_setup import data, policy

from apo_core.system.parent_death import end_with_parent
from apo_episodes.labeling import LabelRule
from apo_trainer.config import TrainerConfig, TrainingConfig
from apo_trainer.optimisation.trainer import Trainer


def main() -> None:
    end_with_parent()
    os.nice(TrainerConfig().niceness)
    config = TrainingConfig(
        steps=1_000_000, batch_size=8, held_out_share=0.0, label_rule=LabelRule(undesirable_steps=3)
    )
    with tempfile.TemporaryDirectory() as folder:
        for _ in Trainer(policy(1024), data(Path(folder), config), config).steps():
            pass


if __name__ == "__main__":
    main()
