"""Shape of a small policy and of what it reads: what those with bins and those with a flow have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self

from apo_core.errors import CheckpointError, ConfigError

_STRIDE = 16  # pixels a side of the encoder's squares


@dataclass(frozen=True)
class SmallShape:
    """Raises ConfigError with every fault."""

    family: ClassVar[str]  # in config.json
    optional: ClassVar[Mapping[str, Any]]  # names that a config.json may lack, and what they are then

    cameras: tuple[str, ...] = ("agentview", "wrist")  # contract names, in the order of the image tokens
    state_keys: tuple[str, ...] = ("ee_pose", "gripper_width", "joint_position")  # contract names, concatenated
    state_size: int = 15
    action_size: int = 7
    chunk: int = 4  # rows predicted from one observation
    period_ns: int = 50_000_000  # between the rows of a chunk
    image_size: int = 64  # pixels a side
    image_channels: tuple[int, ...] = (32, 64, 128)  # of the encoder's first three stages; the last has `hidden`
    image_tokens: int = 0  # of a camera, each of the whole image; 0: one for each square of 16 pixels
    prompt_length: int = 16  # tokens, shorter prompts are padded
    prompt_vocabulary: int = 64  # tokens known to the tokenizer at most
    hidden: int = 192
    layers: int = 4
    heads: int = 6
    mlp: int = 512

    def __post_init__(self) -> None:
        if faults := self.faults():
            raise ConfigError("small VLA (config.json)", faults)

    def faults(self) -> list[str]:
        """Everything wrong with the values."""
        faults = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            least = 0 if spec.name == "image_tokens" else 1
            if isinstance(spec.default, int) and (not isinstance(value, int) or value < least):
                faults.append(f"{spec.name} = {value!r} must be a whole number of at least {least}")
            if isinstance(spec.default, tuple) and len(value) == 0:
                faults.append(f"{spec.name} must not be empty")
        if not faults:
            if self.image_size % _STRIDE:
                faults.append(f"image_size = {self.image_size} must be a multiple of {_STRIDE}")
            if len(self.image_channels) != 3 or any(c % 8 for c in (*self.image_channels, self.hidden)):
                faults.append(f"image_channels = {self.image_channels}, hidden = {self.hidden}: three, multiples of 8")
            if self.hidden % self.heads or (self.hidden // self.heads) % 2:
                faults.append(f"hidden = {self.hidden} must be heads = {self.heads} times an even number")
        return faults

    @property
    def action_tokens(self) -> int:
        """Numbers of a full chunk."""
        return self.chunk * self.action_size

    @property
    def feature_tokens(self) -> int:
        """Tokens before the prompt."""
        return len(self.cameras) * (self.image_tokens or self.squares) + 1

    @property
    def squares(self) -> int:
        """Squares of 16 pixels in an image."""
        return (self.image_size // _STRIDE) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the content of config.json."""
        return {"family": self.family, **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}}

    @classmethod
    def from_dict(cls, data: dict[str, Any], source: str) -> Self:
        """Raises CheckpointError for another family, unknown or missing names."""
        names = {spec.name for spec in fields(cls)}
        data = {**cls.optional, **data}
        family = data.get("family")
        if family != cls.family:
            raise CheckpointError(f"{source}: family = {family!r}, expected {cls.family!r}")
        found = set(data) - {"family"}
        if found != names:
            raise CheckpointError(f"{source}: missing {sorted(names - found)}, unknown {sorted(found - names)}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "family"}
        return cls(**values)
