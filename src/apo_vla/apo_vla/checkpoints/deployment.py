"""deployment.yaml beside a published checkpoint: which robot it drives, and how its numbers meet the contract."""

from __future__ import annotations

import math
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from apo_core.config.parameters import build, parameter
from apo_core.config.rcl_yaml import read_yaml
from apo_core.errors import CheckpointError, ConfigError
from apo_vla.families.openvla.images import RESAMPLING
from apo_vla.families.openvla.processor import PROMPT

DEPLOYMENT = "deployment.yaml"
# parameters of the other families
PI0_FAST_LACKS = ("statistics_key", "normalisation", "centre_crop", "resampling", "prompt", "prompt_length", "adapter")
OPENVLA_LACKS = ("conventions", "text_tokenizer", "action_tokenizer")
FORMS = ("values", "position_axis_angle", "two_fingers")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a published checkpoint does not say about the robot it drives."""

    contract_sha256: str = parameter("", "hash of the robot's contract; `apo policy bind` writes it")
    period_s: float = parameter(0.2, "s between two actions of the data it was trained on", low=0.001, high=10.0)
    cameras: tuple[str, ...] = parameter((), "cameras of the contract, in the order the model takes its images")
    statistics_key: str = parameter("", "which training data's statistics; empty where there are only one's")
    normalisation: str = parameter("q99", "quantiles of the data, or its bounds", choices=("q99", "bounds"))
    action_scale: tuple[float, ...] = parameter((), "contract unit = scale * data unit + offset; empty: all 1")
    action_offset: tuple[float, ...] = parameter((), "see action_scale; empty: all 0")
    state: tuple[str, ...] = parameter(
        (), "state keys of the contract that make the proprioception, each as key or key:form"
    )
    centre_crop: bool = parameter(False, "True for a fine-tune that was trained with image augmentation")
    resampling: str = parameter("bicubic", "filter that resizes camera images", choices=tuple(RESAMPLING))
    prompt: str = parameter(PROMPT, "template of the prompt, with {instruction}")
    prompt_length: int = parameter(64, "tokens of a prompt at most", low=8, high=512)
    chunk: int = parameter(1, "actions predicted from one observation", low=1, high=256)
    conventions: str = parameter("lerobot", "of a pi0-FAST checkpoint", choices=("lerobot", "openpi"))
    text_tokenizer: str = parameter("tokenizer.json", "pi0-FAST: file of PaliGemma's tokenizer")
    action_tokenizer: str = parameter("action_tokenizer", "pi0-FAST: folder of the FAST tokenizer")
    adapter: str = parameter("", "folder of a PEFT adapter that belongs to the base, merged when it is read")

    def __post_init__(self):
        faults = []
        if not _is_template(self.prompt):
            faults.append(f"prompt = {self.prompt!r} must contain {{instruction}}, and no other braces")
        for name, values in (("action_scale", self.action_scale), ("action_offset", self.action_offset)):
            if not all(map(math.isfinite, values)) or (name == "action_scale" and not all(values)):
                must = "finite and not 0" if name == "action_scale" else "finite"
                faults.append(f"{name} = {list(values)} must be {must}")
        for part in self.state:
            key, _, form = part.partition(":")
            if not key or (form or "values") not in FORMS:
                faults.append(f"state = {part!r} must be key or key:form with one of {', '.join(FORMS)}")
        if len(set(self.cameras)) != len(self.cameras):
            faults.append(f"cameras = {list(self.cameras)} must differ")
        if faults:
            raise ConfigError(DEPLOYMENT, faults)

    @property
    def period_ns(self) -> int:
        """Between the rows of a chunk."""
        return round(self.period_s * 1e9)


def unused(deployment: Deployment, names: Iterable[str], family: str) -> list[str]:
    """Those of the named parameters that were set although a family does not have them, as faults."""
    default = Deployment()
    return [
        f"{name} = {getattr(deployment, name)!r} cannot be used with {family}: leave it out"
        for name in names
        if getattr(deployment, name) != getattr(default, name)
    ]


def _is_template(prompt: str) -> bool:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(prompt) if name is not None} == {"instruction"}
    except ValueError:
        return False


def read_deployment(folder: Path) -> Deployment:
    """Reads deployment.yaml.

    Raises:
        CheckpointError: there is none.
        ConfigError: every fault in it.
    """
    path = Path(folder) / DEPLOYMENT
    if not path.exists():
        raise CheckpointError(
            f"{path} is missing: it says which robot the checkpoint drives; `apo policy bind {folder} --robot "
            "config/contract.yaml` writes one to edit"
        )
    data = read_yaml(path) or {}
    if not isinstance(data, dict):
        raise ConfigError(str(path), ["is not a mapping of keys"])
    return build(Deployment, data, str(path))
