"""APO beside imitation: what to prefer, and meanwhile what to do (for DPO: RPO, arXiv 2404.19733)."""

from __future__ import annotations

from apo_trainer.methods.apo import Apo


class ApoPlus(Apo):
    """APO's loss and the mean -log pi a token of desirable steps.

    The preference value saturates once an action is some nats more likely than under the reference; where the hand has
    to go is learned by imitation long after that.
    """

    own_nll_weight = 2.0
