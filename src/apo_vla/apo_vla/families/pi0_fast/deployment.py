"""deployment.yaml of pi0-FAST."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_vla.checkpoints.deployment import Deployment


@dataclass(frozen=True)
class Pi0FastDeployment(Deployment):
    """See `Deployment`; what only pi0-FAST's checkpoints leave open. `chunk` is 1 or the checkpoint's own."""

    conventions: str = parameter("lerobot", "of a pi0-FAST checkpoint", choices=("lerobot", "openpi"))
    text_tokenizer: str = parameter("tokenizer.json", "pi0-FAST: file of PaliGemma's tokenizer")
    action_tokenizer: str = parameter("action_tokenizer", "pi0-FAST: folder of the FAST tokenizer")
