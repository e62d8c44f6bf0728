"""Inputs of the small flow policy, those of the small VLA; its outputs are numbers."""

from __future__ import annotations

from apo_vla.actions.continuous import ContinuousActions
from apo_vla.families.small_vla.processor import SmallVlaProcessor


class SmallFlowProcessor(ContinuousActions, SmallVlaProcessor):
    """See `SmallVlaProcessor`."""
