"""The contract between robot, policy and data: keys, topics, shapes, units, rates, limits (config/contract.yaml)."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.config.rcl_yaml import read_yaml
from apo_core.contract.reader import ContractReader, read_action, read_feedback, read_images, read_limits, read_state
from apo_core.contract.specs import IMAGE, ActionSpec, FeedbackSpec, ImageSpec, Limits, StateSpec
from apo_core.errors import ConfigError, ObservationError
from apo_core.types import Observation

CONTRACT_VERSION = 1


@dataclass(frozen=True)
class Contract:
    """Everything that recording, training and serving must agree on."""

    rate_hz: float
    frame_id: str
    tolerance_s: float  # largest difference of stamps within one observation
    max_age_s: float  # an older observation must not cause an action
    images: tuple[ImageSpec, ...]
    state: tuple[StateSpec, ...]
    action: ActionSpec
    limits: Limits
    source: str  # file it was read from, for messages
    feedback: FeedbackSpec | None = None  # None: the robot does not report its motion

    @property
    def period_ns(self) -> int:
        return round(1e9 / self.rate_hz)

    @property
    def image_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.images)

    @property
    def state_names(self) -> tuple[str, ...]:
        return tuple(spec.name for spec in self.state)

    def state_spec(self, name: str) -> StateSpec:
        """Raises ObservationError for an unknown name."""
        for spec in self.state:
            if spec.name == name:
                return spec
        raise ObservationError(f"state '{name}' is not in the contract ({self.source}); known: {self.state_names}")

    @cached_property
    def json(self) -> str:
        """Canonical JSON of everything that defines the data (not of where it was read from)."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    @cached_property
    def sha256(self) -> str:
        """Hash of what a policy depends on: keys, shapes, units, rate. Topics and safety limits may change freely."""
        core = self.as_dict()
        for section in ("images", "state"):
            for spec in core[section].values():
                spec.pop("topic")
                spec.pop("rate_hz", None)
        for spec in core["images"].values():
            spec.pop("type", None)
        for section in ("limits", "tolerance_s", "max_age_s", "feedback"):
            core.pop(section, None)
        text = json.dumps(core, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain data as in the YAML file; unset values have no key."""
        limits = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self.limits).items()
            if value is not None
        }
        feedback = {} if self.feedback is None else {"feedback": dataclasses.asdict(self.feedback)}
        return {
            "version": CONTRACT_VERSION,
            "rate_hz": self.rate_hz,
            "frame_id": self.frame_id,
            "tolerance_s": self.tolerance_s,
            "max_age_s": self.max_age_s,
            "images": {
                s.name: {"topic": s.topic, "height": s.height, "width": s.width, "encoding": s.encoding}
                | ({} if s.type == IMAGE else {"type": s.type})
                | _rate(s)
                for s in self.images
            },
            "state": {
                s.name: {
                    "topic": s.topic,
                    "type": s.type,
                    "size": s.size,
                    "unit": s.unit,
                    "field": s.field,
                    "joints": list(s.joints),
                }
                | _rate(s)
                for s in self.state
            },
            "action": {
                "names": list(self.action.names),
                "units": list(self.action.units),
                "low": list(self.action.low),
                "high": list(self.action.high),
            },
            "limits": limits,
            **feedback,
        }

    def check_observation(self, observation: Observation) -> None:
        """Raises ObservationError naming every part that is missing, of wrong shape or type, or not finite."""
        faults = []
        for spec in self.images:
            image = observation.images.get(spec.name)
            if image is None:
                faults.append(f"image '{spec.name}' is missing")
            elif image.shape != spec.shape or image.dtype != spec.dtype:
                faults.append(
                    f"image '{spec.name}' is {image.dtype} {image.shape}, "
                    f"the contract requires {spec.dtype} {spec.shape}"
                )
        for part in self.state:
            value = observation.state.get(part.name)
            if value is None:
                faults.append(f"state '{part.name}' is missing")
            elif value.shape != (part.size,):
                faults.append(f"state '{part.name}' has shape {value.shape}, the contract requires ({part.size},)")
            elif not np.all(np.isfinite(value)):
                faults.append(f"state '{part.name}' is not finite: {value}")
        if faults:
            raise ObservationError(f"{'; '.join(faults)} (contract: {self.source})")


def _rate(spec: ImageSpec | StateSpec) -> dict[str, float]:
    return {"rate_hz": spec.rate_hz} if spec.rate_hz else {}


def contract_from_dict(data: Any, source: str) -> Contract:
    """Builds a Contract from plain data.

    Raises:
        ConfigError: every fault found, with `source` as the file to edit.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(source, ["is not a mapping of keys"])
    r = ContractReader()
    version = r.get(data, "version", int)
    r.require(version == CONTRACT_VERSION, f"version = {version}, this software reads {CONTRACT_VERSION}")
    rate_hz = r.get(data, "rate_hz", float)
    r.require(0.01 <= rate_hz <= 1000, f"rate_hz = {rate_hz} must be 0.01..1000")
    images, state = read_images(r, data), read_state(r, data)
    shared = sorted({image.name for image in images} & {part.name for part in state})
    r.require(not shared, f"images and state share the names {shared}")
    action, limits, feedback = read_action(r, data), read_limits(r, data), read_feedback(r, data)
    tolerance_s = r.get(data, "tolerance_s", float)
    max_age_s = r.get(data, "max_age_s", float)
    r.require(0 < tolerance_s <= 3600, f"tolerance_s = {tolerance_s} must be above 0 and at most 3600")
    r.require(0 < max_age_s <= 3600, f"max_age_s = {max_age_s} must be above 0 and at most 3600")
    frame_id = r.get(data, "frame_id", str)
    if r.faults:
        raise ConfigError(source, r.faults)
    return Contract(rate_hz, frame_id, tolerance_s, max_age_s, images, state, action, limits, source, feedback)


def load_contract(path: Path | str) -> Contract:
    """Reads a contract file.

    Raises:
        ConfigError: unreadable, or any fault in it.
    """
    return contract_from_dict(read_yaml(path), str(path))
