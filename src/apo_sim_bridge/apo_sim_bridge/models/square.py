"""A square nut and its peg: robosuite's model with the paper's placements, which are its own."""

from __future__ import annotations

from robosuite.environments.manipulation.nut_assembly import NutAssemblySquare


class SquareModel(NutAssemblySquare):
    """The nut starts at x -0.115 .. -0.110, y 0.110 .. 0.225 with any yaw; the peg stands at (0.23, 0.10)."""
