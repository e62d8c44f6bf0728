"""deployment.yaml of pi0-FAST."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_vla.lerobot.deployment import LeRobotDeployment

_OPENPI_IMAGES = 3  # that openpi's pi0-FAST takes; where a robot has fewer cameras, the others are black
_OPENPI_TINY = 1e-6  # that openpi adds to every range, and to a deviation
_DROID_BLACK = 1  # place of the black image between the two cameras of DROID


@dataclass(frozen=True)
class Pi0FastDeployment(LeRobotDeployment):
    """See `LeRobotDeployment`; what only pi0-FAST's checkpoints leave open."""

    conventions: str = parameter(
        "lerobot",
        "of a pi0-FAST checkpoint; openpi_droid has the black image between the two cameras, openpi behind them",
        choices=("lerobot", "openpi", "openpi_droid"),
    )
    action_tokenizer: str = parameter("action_tokenizer", "pi0-FAST: folder of the FAST tokenizer")

    @property
    def openpi(self) -> bool:
        """Whether openpi's conventions hold, not LeRobot's."""
        return self.conventions != "lerobot"

    @property
    def widening(self) -> float:
        """What is added to the ranges of the statistics."""
        return _OPENPI_TINY if self.openpi else 0.0

    @property
    def black_places(self) -> tuple[int, ...]:
        """Places, from 0, of the black images among the model's; LeRobot has none."""
        if not self.openpi:
            return ()
        if self.conventions == "openpi_droid" and len(self.cameras) == _OPENPI_IMAGES - 1:
            return (_DROID_BLACK,)
        return tuple(range(len(self.cameras), _OPENPI_IMAGES))

    def faults(self) -> list[str]:
        """See `Deployment.faults`."""
        faults = super().faults()
        if self.openpi and len(self.cameras) > _OPENPI_IMAGES:
            faults.append(f"cameras = {list(self.cameras)} are {len(self.cameras)}, openpi takes {_OPENPI_IMAGES}")
        return faults
