"""Three cubes to be stacked: the red one on the larger green one, the blue one on the red one."""

from __future__ import annotations

from typing import Any

from robosuite.models.objects import BoxObject

from apo_sim_bridge.models.shapes import wood
from apo_sim_bridge.models.table_env import TABLE, TableEnv

_EDGES = {"cubeA": (0.04, "WoodRed", "redwood"), "cubeB": (0.05, "WoodGreen", "greenwood")}
_EDGES["cubeC"] = (0.04, "WoodBlue", "bluewood")
_RANGE = (-0.10, 0.10)  # m


class StackThreeModel(TableEnv):
    """Success: A above and on B, C above and on A, neither A nor C held."""

    def make_objects(self) -> list[Any]:
        """See TableEnv."""
        return [
            BoxObject(name=name, size=[edge / 2] * 3, material=wood(texture, tag), rng=self.rng)
            for name, (edge, texture, tag) in _EDGES.items()
        ]

    def make_samplers(self, objects: list[Any]) -> list[Any]:
        """See TableEnv."""
        return [self.sampler(objects, _RANGE, _RANGE, rotation=None, z_offset=0.01)]

    def _check_success(self) -> bool:
        a, b, c = self.items
        return bool(
            self.position(a)[2] > TABLE[2] + 0.04
            and self.position(c)[2] > TABLE[2] + 0.08
            and self.check_contact(a, b)
            and self.check_contact(c, a)
            and not self.is_grasped(a)
            and not self.is_grasped(c)
        )
