"""deployment.yaml of OpenVLA and OpenVLA-OFT."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

from apo_core.config.parameters import parameter
from apo_vla.checkpoints.deployment import DEPLOYMENT, Deployment
from apo_vla.checkpoints.osc_pose import osc_scale
from apo_vla.families.openvla.images import LANCZOS_JPEG, RESAMPLING
from apo_vla.families.openvla.processor import PROMPT

_LIBERO = "libero"
_RATES_HZ = {_LIBERO: 20.0, "bridge": 5.0, "fractal": 3.0}  # {how the statistics' name begins: of the data}
_RATE_TOLERANCE = 0.1


@dataclass(frozen=True)
class OpenVlaDeployment(Deployment):
    """See `Deployment`; what only OpenVLA's checkpoints leave open."""

    statistics_key: str = parameter("", "which training data's statistics; empty where there are only one's")
    normalisation: str = parameter("q99", "quantiles of the data, or its bounds", choices=("q99", "bounds"))
    centre_crop: bool = parameter(False, "True for a fine-tune that was trained with image augmentation")
    resampling: str = parameter(
        "bicubic",
        "filter that resizes camera images; lanczos_jpeg for LIBERO and Bridge, whose pictures were stored as JPEG",
        choices=RESAMPLING,
    )
    prompt: str = parameter(PROMPT, "template of the prompt, with {instruction}")
    prompt_length: int = parameter(64, "tokens of a prompt at most", low=8, high=512)
    adapter: str = parameter("", "folder of a PEFT adapter that belongs to the base, merged when it is read")

    def faults(self) -> list[str]:
        """See `Deployment.faults`."""
        faults = super().faults()
        if not _is_template(self.prompt):
            faults.append(f"prompt = {self.prompt!r} must contain {{instruction}}, and no other braces")
        return faults


def picture_proposals(statistics_key: str) -> dict[str, Any]:
    """What the name of the training data shows about its pictures: {parameter: value} of the published checkpoints."""
    return {"resampling": LANCZOS_JPEG, "centre_crop": True} if statistics_key.startswith(_LIBERO) else {}


def rate_notes(statistics_key: str, deployment: OpenVlaDeployment) -> list[str]:
    """A period that is not that of the published data: what the model predicts is then done faster or slower."""
    return [
        f"period_s = {deployment.period_s:g} ({DEPLOYMENT}), the data of {statistics_key!r} have {rate:g} Hz: actions "
        f"need a contract with rate_hz: {rate:g}"
        for data, rate in _RATES_HZ.items()
        if statistics_key.startswith(data) and abs(deployment.period_s * rate - 1) > _RATE_TOLERANCE
    ]


def unit_proposals(statistics_key: str, rate_hz: float) -> dict[str, Any]:
    """The units of LIBERO's actions, inputs of OSC_POSE: {parameter: value}; OpenVLA's gripper is 1 open, 0 closed."""
    if not statistics_key.startswith(_LIBERO):
        return {}
    scale = (*osc_scale(rate_hz), -2.0)
    return {"action_scale": scale, "action_offset": (0.0,) * 6 + (1.0,)}


def orientation_notes(deployment: OpenVlaDeployment) -> list[str]:
    """A deployment of LIBERO that does not name how the cameras' pictures are turned."""
    if not deployment.statistics_key.startswith(_LIBERO) or deployment.orientation:
        return []
    return [
        "orientation is empty: OpenVLA's LIBERO pictures are robosuite's turned by 180 degrees, which is mirror for "
        "the cameras of config/contract.yaml"
    ]


def picture_notes(statistics_key: str, deployment: OpenVlaDeployment) -> list[str]:
    """What a deployment lacks of `picture_proposals`; another Lanczos filter is near enough to be no note."""
    proposed = picture_proposals(statistics_key)
    if "lanczos" in deployment.resampling:
        proposed.pop("resampling", None)
    return [
        f"{name} = {getattr(deployment, name)!r} ({DEPLOYMENT}), the published checkpoints of {statistics_key!r} were "
        f"trained and evaluated with {value!r}"
        for name, value in proposed.items()
        if getattr(deployment, name) != value
    ]


def _is_template(prompt: str) -> bool:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(prompt) if name is not None} == {"instruction"}
    except ValueError:
        return False
