"""deployment.yaml of the families in LeRobot's layout."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_vla.checkpoints.deployment import Deployment


@dataclass(frozen=True)
class LeRobotDeployment(Deployment):
    """See `Deployment`; what only checkpoints in LeRobot's layout leave open. `chunk` is 1 or the checkpoint's own."""

    text_tokenizer: str = parameter("tokenizer.json", "LeRobot's layout: file of the text tokenizer, or its folder")
    statistics: str = parameter(
        "",
        "LeRobot's layout: file with the statistics of the actions and the state, meta/stats.json of a LeRobot data "
        "set; empty: the checkpoint's own",
    )


@dataclass(frozen=True)
class FlowDeployment(LeRobotDeployment):
    """See `LeRobotDeployment`; of SmolVLA, pi0 and pi0.5."""

    flow_steps: int = parameter(0, "SmolVLA, pi0: Euler steps of a chunk; 0: as in config.json", low=0, high=100)
