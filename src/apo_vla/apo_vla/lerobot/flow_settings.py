"""config.json and deployment.yaml of a flow policy, turned into the fields of `LeRobotFlowConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apo_core.errors import CheckpointError
from apo_vla.checkpoints.types import CONFIG
from apo_vla.checkpoints.weight_files import WeightFiles
from apo_vla.lerobot.config_file import camera_faults, whole_number
from apo_vla.lerobot.deployment import FlowDeployment
from apo_vla.lerobot.statistics import LeRobotStatistics


@dataclass(frozen=True, slots=True)
class FlowSizes:
    """Numbers that the model takes, padding included."""

    state: int | None  # None: the state is in the prompt
    action: int

    @classmethod
    def of(cls, weights: WeightFiles, state: str | None, action: str) -> FlowSizes:
        """Inputs of the layers of these names. Raises CheckpointError: a layer is missing."""
        missing = [name for name in (state, action) if name is not None and len(weights.shapes.get(name, ())) != 2]
        if missing:
            raise CheckpointError(f"{weights.source}: lacks {', '.join(missing)}")
        return cls(None if state is None else weights.shapes[state][1], weights.shapes[action][1])


def flow_faults(
    settings: Mapping[str, Any], deployment: FlowDeployment, statistics: LeRobotStatistics, sizes: FlowSizes
) -> list[str]:
    """Cameras, state or actions that the model cannot take, as faults."""
    faults = camera_faults(deployment.cameras, settings)
    for what, count, width in (
        ("state", len(statistics.state_low), sizes.state),
        ("an action", len(statistics.action_low), sizes.action),
    ):
        if width is not None and count > width:
            faults.append(f"the statistics have {count} numbers of {what}, the model takes at most {width}")
    if deployment.chunk not in (1, settings.get("chunk_size", 50)):
        faults.append(f"chunk = {deployment.chunk}, {CONFIG} has chunk_size = {settings.get('chunk_size', 50)}")
    return faults


def flow_fields(
    folder: Path,
    settings: Mapping[str, Any],
    deployment: FlowDeployment,
    statistics: LeRobotStatistics,
    sizes: FlowSizes,
    steps: str = "num_steps",
) -> dict[str, Any]:
    """The fields that all families have alike.

    Args:
        folder: of the checkpoint.
        settings: of config.json.
        deployment, statistics, sizes: of the checkpoint.
        steps: name in config.json of the number of Euler steps.

    Raises:
        CheckpointError: a value of config.json is out of range.
    """
    source = Path(folder) / CONFIG
    periods = [settings.get(name, default) for name, default in (("min_period", 4e-3), ("max_period", 4.0))]
    if not all(isinstance(value, int | float) and value > 0 for value in periods) or periods[0] >= periods[1]:
        raise CheckpointError(f"{source}: min_period, max_period = {periods} must be above 0, in rising order")
    return {
        "views": deployment.views,
        "state_size": len(statistics.state_low),
        "action_size": len(statistics.action_low),
        "chunk": whole_number(settings, "chunk_size", 50, source),
        "period_ns": deployment.period_ns,
        "state_width": sizes.state or len(statistics.state_low),
        "action_width": sizes.action,
        "flow_steps": deployment.flow_steps or whole_number(settings, steps, 10, source),
        "least_period": float(periods[0]),
        "largest_period": float(periods[1]),
    }
