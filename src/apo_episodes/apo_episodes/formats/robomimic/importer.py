"""Demonstrations of robomimic, robosuite and LIBERO files as episode files.

Layout: https://robomimic.github.io/docs/datasets/overview.html. Actions are OSC_POSE deltas in [-1, 1]; they become
velocities: value x largest step of the controller [m, rad] x control rate [Hz].
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import h5py
import numpy as np

from apo_core.actions import ANGULAR, GRIPPER, LINEAR, SIZE
from apo_core.contract.contract import Contract
from apo_core.crop import crop_fault, cropped
from apo_core.errors import ApoError, EpisodeToolError, ObservationError
from apo_core.orientation import ORIENTATIONS, oriented
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, Observation, Step
from apo_episodes.files import new_folder
from apo_episodes.formats.robomimic import controller, libero
from apo_episodes.formats.robomimic.facts import as_text, read_drivers, read_outcome
from apo_episodes.formats.robomimic.mapping import CAMERAS, STATE, StateMapping, choose_mapping, turned_poses
from apo_episodes.writer import EpisodeWriter

POSE = "geometry_msgs/msg/PoseStamped"
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class RobomimicImport:
    """How to import; a None is read from the file, or robosuite's default where it has none."""

    instruction: str  # that of a LIBERO file, or of each demonstration of an export, if empty
    created_utc: str  # ISO 8601, of the import
    state: Mapping[str, str] = field(default_factory=dict)  # {state key: mapping}, beyond mapping.STATE
    cameras: Mapping[str, str] = field(default_factory=dict)  # {camera: observation key}, beyond mapping.CAMERAS
    task: str = ""  # the file's env_name if empty
    operator: str = ""  # that of each demonstration of an export, else `demonstrator`, if empty
    mask: str = ""  # filter key; every demonstration if empty
    prefix: str = ""  # of the episode ids; the name of the file if empty
    position_step_m: float | None = None
    rotation_step_rad: float | None = None
    control_rate_hz: float | None = None
    # quaternion xyzw from the file's end-effector frame to the contract's, for every PoseStamped
    ee_rotation: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)
    gripper_sign: int = 1  # -1 where the file's gripper closes at -1
    gripper_range: tuple[float, float] | None = None  # values of open and closed in the file; robosuite's if None
    flip: bool = False  # images upside down, as robosuite renders them; of LIBERO as the file states it
    orientation: Mapping[str, str] = field(default_factory=dict)  # {camera: one of ORIENTATIONS}, in place of `flip`
    crop: Mapping[str, str] = field(default_factory=dict)  # {camera: see apo_core.crop}, before an image is turned
    channel_order: str = "rgb"  # of the file's images with three channels, or bgr
    resize: bool = False  # images of another size than the contract's
    clip: bool = False  # cut off actions beyond [-1, 1] instead of rejecting them
    expert_drivers: bool = False  # every step is the expert's, whatever the file states


def import_robomimic(path: Path, target: Path, contract: Contract, options: RobomimicImport) -> list[Path]:
    """Writes every demonstration as `<prefix>-<demo>.h5` into a new folder; returns the files.

    One in which policy and operator took turns becomes an INTERACTION, see `read_drivers`. Where the file stores the
    observation after an action in its row, as LIBERO's do, each action gets the row before, and the first has no step.

    Raises:
        EpisodeToolError: unreadable, observation keys missing (all are listed), sizes that do not fit the contract, a
            controller other than OSC_POSE with deltas, another control rate, actions beyond [-1, 1], datasets about
            drivers that contradict each other or are not known, or a target that exists.
    """
    path = Path(path)
    if path.is_dir():
        raise EpisodeToolError(f"{path}: is a folder, name one HDF5 file")
    try:
        with h5py.File(path, "r") as f, new_folder(target) as folder:
            source = _Source(path, f, contract, options)
            names = [source.write(demo, folder).name for demo in source.demos]
            (folder / ".partial").rmdir()
    except ApoError:
        raise
    except Exception as error:  # h5py raises many types on a damaged file
        raise EpisodeToolError(f"{path}: not a readable robomimic file ({type(error).__name__}: {error})") from None
    return [Path(target) / name for name in names]


class _Source:
    """An open file with checked keys, controller and rate."""

    def __init__(self, path: Path, f: h5py.File, contract: Contract, options: RobomimicImport):
        self._path, self._f, self._contract, self._options = path, f, contract, options
        if isinstance(f.get("data"), h5py.Group) and "task_description" in f["data"]:
            self._fail("is of the released APO layout, which has no state; a robomimic export can be imported")
        if not isinstance(f.get("data"), h5py.Group):
            raise EpisodeToolError(f"{path}: has no group 'data', is not a robomimic or robosuite file")
        self._is_export = "action_scale" in f["data"].attrs  # written by `export_robomimic`
        self._env = self._env_args()
        self.demos = self._demos()
        there = set(f[f"data/{self.demos[0]}"].get("obs", ()))
        self._is_libero = not self._is_export and libero.is_libero(there)
        self._instruction, self._orientation = self._stated()
        self._check_names()
        own = {spec.name: spec.name for spec in contract.state if self._is_export and spec.name in there}
        given = {**own, **options.state}
        usual = libero.STATE if self._is_libero else STATE
        self._states = [choose_mapping(spec.name, given.get(spec.name), there, usual) for spec in contract.state]
        names = {} if self._is_export else libero.CAMERAS if self._is_libero else CAMERAS
        self._cameras = {
            s.name: options.cameras.get(s.name, names.get(s.name, f"{s.name}_image")) for s in contract.images
        }
        self._check_keys()
        self._scale = self._action_scale()
        actions = [] if self._is_export else [f[f"data/{demo}/actions"][()] for demo in self.demos]
        if fault := controller.gripper_fault(actions, options.gripper_range):
            self._fail(fault)

    def _fail(self, text: str) -> NoReturn:
        raise EpisodeToolError(f"{self._path}: {text}")

    def _stated(self) -> tuple[str, str]:
        """Instruction and orientation of the pictures, as asked for or as the file has them."""
        options, attributes = self._options, self._f["data"].attrs
        asked, flip = options.instruction.strip(), "flip_vertical" if options.flip else "none"
        if not self._is_libero:
            return asked, flip
        try:
            turns = {*options.orientation} >= {*self._contract.image_names} or options.flip
            return asked or libero.instruction(attributes), flip if turns else libero.orientation(attributes)
        except ValueError as error:
            self._fail(str(error))

    def _env_args(self) -> dict[str, Any]:
        attrs = self._f["data"].attrs
        if "env_args" in attrs:
            return json.loads(attrs["env_args"])
        # robosuite's own collector
        info = json.loads(attrs["env_info"]) if "env_info" in attrs else {}
        return {"env_name": attrs.get("env", attrs.get("env_name", "")), "env_kwargs": info}

    def _demos(self) -> list[str]:
        demos = list(self._f["data"])
        if self._options.mask:
            masks = list(self._f.get("mask", ()))
            if self._options.mask not in masks:
                self._fail(f"has no filter key '{self._options.mask}'; known: {', '.join(masks) or 'none'} (--mask)")
            demos = [name.decode() for name in self._f[f"mask/{self._options.mask}"][()]]
        if not demos:
            self._fail("holds no demonstration")
        return sorted(demos, key=lambda name: (len(name), name))

    def _check_names(self) -> None:
        options, contract = self._options, self._contract
        pairs = (
            ("--state", options.state, contract.state_names),
            ("--camera", options.cameras, contract.image_names),
            ("--orientation", options.orientation, contract.image_names),
            ("--crop", options.crop, contract.image_names),
        )
        lines = [
            f"{option} {name}: not in the contract {contract.source}; known: {', '.join(known) or 'none'}"
            for option, given, known in pairs
            for name in given
            if name not in known
        ]
        lines += [
            f"--orientation {name}={value}: is none of {', '.join(ORIENTATIONS)}"
            for name, value in options.orientation.items()
            if value not in ORIENTATIONS
        ]
        lines += [f"--crop {name}: {fault}" for name, crop in options.crop.items() if (fault := crop_fault(crop))]
        if not all(self._instruction_of(self._f[f"data/{demo}"]) for demo in self.demos):
            lines.append("--instruction must not be empty, the file has none")
        if lines:
            self._fail("; ".join(lines))

    def _instruction_of(self, demo: h5py.Group) -> str:
        own = as_text(demo.attrs.get("instruction", "")) if self._is_export else ""
        return self._instruction or own.strip()

    def _check_keys(self) -> None:
        wanted = {key: f"state '{one.name}' (--state {one.name}=...)" for one in self._states for key in one.keys}
        wanted |= {key: f"camera '{name}' (--camera {name}=...)" for name, key in self._cameras.items()}
        for demo in self.demos:
            group = self._f[f"data/{demo}"]
            there = set(group.get("obs", ()))
            lines = [f"obs/{key} for {use}" for key, use in wanted.items() if key not in there]
            if "actions" not in group:
                lines.append("actions")
            if lines:
                hint = (
                    f"it has {', '.join(sorted(there))}"
                    if there
                    else "it has no observations: make them with robomimic's dataset_states_to_obs.py"
                )
                self._fail(
                    "\n  - ".join([f"{demo} lacks, for the contract {self._contract.source}:", *lines]) + f"\n  {hint}"
                )
            if self._is_libero and (lines := libero.wrong_shapes(group, wanted, len(group["actions"]))):
                self._fail("\n  - ".join([f"{demo} differs from LIBERO's layout:", *lines]))

    def _action_scale(self) -> np.ndarray:
        options, kwargs = self._options, self._env.get("env_kwargs") or {}
        try:
            largest = controller.largest_step(controller.read_controller(kwargs))
        except ValueError as error:
            self._fail(str(error))
        rate = options.control_rate_hz or float(kwargs.get("control_freq", controller.CONTROL_RATE_HZ))
        if rate != self._contract.rate_hz:
            self._fail(
                f"was recorded at {rate} Hz, the contract {self._contract.source} requires {self._contract.rate_hz} Hz"
            )
        if self._contract.action.size != SIZE:
            self._fail(f"its actions have {SIZE} dimensions, those of the contract {self._contract.action.size}")
        if self._is_export:
            scale = np.array(self._f["data"].attrs["action_scale"], dtype=np.float64)
            if scale.shape != (SIZE,) or not (np.isfinite(scale) & (scale > 0)).all():
                self._fail(f"action_scale = {scale.tolist()} must be {SIZE} numbers above 0")
        else:
            scale = np.append(largest * rate, 1.0)
        if options.position_step_m is not None:
            scale[LINEAR] = options.position_step_m * rate
        if options.rotation_step_rad is not None:
            scale[ANGULAR] = options.rotation_step_rad * rate
        scale[GRIPPER] *= options.gripper_sign
        return scale

    def write(self, demo: str, folder: Path) -> Path:
        """One demonstration as an episode file in `folder`."""
        contract, options, group = self._contract, self._options, self._f[f"data/{demo}"]
        actions = self._actions(demo, group)
        steps = len(actions)
        lag = libero.observation_lag(group, steps) if self._is_libero else 0
        if steps <= lag:
            self._fail(f"{demo}: {steps} actions are too few, observations follow theirs by {lag}")
        state = {one.name: self._state(demo, one, group, steps) for one in self._states}
        images = {name: self._camera(demo, name, group[f"obs/{key}"], steps) for name, key in self._cameras.items()}
        kind, drivers = self._drivers(demo, group, steps)
        actions, drivers = actions[lag:], drivers[lag:]
        instruction = self._instruction_of(group)
        operator = as_text(group.attrs.get("operator", "")) if self._is_export else ""
        requested = {name: self._requested(demo, name, group, actions) for name in ("policy_actions", "human_actions")}
        info = EpisodeInfo(
            episode_id=_NOT_IN_IDS.sub("_", f"{options.prefix or self._path.stem}-{demo}"),
            kind=kind,
            task=options.task or str(self._env.get("env_name", "")),
            instruction=instruction,
            seed=0,
            operator=options.operator or operator or "demonstrator",
            contract_json=contract.json,
            created_utc=options.created_utc,
            tags={"imported_from": self._path.name, "demo": demo},
        )
        versions = self._numbers(demo, "adapter_versions", group, (steps,))
        tokens = self._numbers(demo, "policy_tokens", group, actions.shape)
        remaining = self._numbers(demo, "task_remaining", group, (steps,))
        writer = EpisodeWriter(folder, info, contract)
        try:
            for index, driver in enumerate(drivers):
                stamp = (index + 1) * contract.period_ns
                observation = Observation(
                    stamp,
                    {name: self._fitted(name, frames[index]) for name, frames in images.items()},
                    {name: values[index] for name, values in state.items()},
                    instruction,
                )
                by_policy, by_human = (_present(requested[name][index]) for name in ("policy_actions", "human_actions"))
                by_policy = actions[index] if by_policy is None and driver == ControlSource.POLICY else by_policy
                by_human = actions[index] if by_human is None and driver == ControlSource.HUMAN else by_human
                emitted = None if tokens is None or by_policy is None else tokens[index].astype(np.int32)
                writer.append(
                    Step(
                        tick=index,
                        observation=observation,
                        executed_action=actions[index],
                        policy_action=by_policy,
                        human_action=by_human,
                        source=driver,
                        reason="demonstration" if kind == EpisodeKind.DEMONSTRATION else "imported",
                        adapter_version=0 if versions is None else int(versions[index]),
                        command_stamp_ns=stamp,
                        chunk_stamp_ns=0 if by_policy is None else stamp,
                        receive_ns=stamp,
                        policy_tokens=None if emitted is None or (emitted < 0).any() else emitted,
                        task_remaining=None if remaining is None else _present(remaining[index]),
                    )
                )
            return writer.finish(read_outcome(group))
        except ObservationError as error:
            writer.discard()
            self._fail(f"{demo}: {error}")
        except BaseException:
            writer.discard()
            raise

    def _drivers(self, demo: str, group: h5py.Group, steps: int) -> tuple[EpisodeKind, list[ControlSource]]:
        if self._options.expert_drivers:
            return EpisodeKind.DEMONSTRATION, [ControlSource.HUMAN] * steps
        try:
            return read_drivers(group, steps)
        except ValueError as error:
            self._fail(f"{demo}: {error}")

    def _requested(self, demo: str, name: str, group: h5py.Group, actions: np.ndarray) -> np.ndarray:
        """Actions that policy or operator wanted, as `export_robomimic` writes them; NaN where there is none."""
        if self._options.expert_drivers or not self._is_export or name not in group:
            return np.full_like(actions, np.nan)
        values = np.asarray(group[name][()], dtype=np.float64)
        if values.shape != actions.shape or np.isinf(values).any():
            self._fail(f"{demo}: {name} has shape {values.shape} or is infinite, expected {actions.shape}")
        return (values * self._scale).astype(np.float32)

    def _numbers(self, demo: str, name: str, group: h5py.Group, shape: tuple[int, ...]) -> np.ndarray | None:
        """A dataset of `export_robomimic`; None where the file has none."""
        if self._options.expert_drivers or not self._is_export or name not in group:
            return None
        values = np.asarray(group[name][()])
        if values.shape != shape:
            self._fail(f"{demo}: {name} has shape {values.shape}, expected {shape}")
        return values

    def _actions(self, demo: str, group: h5py.Group) -> np.ndarray:
        values = np.asarray(group["actions"][()], dtype=np.float64)
        if values.ndim != 2 or values.shape[1] != len(self._scale):
            self._fail(f"{demo}: actions have shape {values.shape}, expected (T, {len(self._scale)})")
        if not np.isfinite(values).all():
            self._fail(f"{demo}: actions are not all finite")
        if self._options.gripper_range:
            values[:, GRIPPER] = controller.gripper_actions(values[:, GRIPPER], self._options.gripper_range)
        if np.abs(values).max(initial=0) > 1 and not self._options.clip:
            step = int(np.argwhere(np.abs(values) > 1)[0][0])
            self._fail(
                f"{demo}: an action reaches {np.abs(values).max():.4g} (step {step}); the range is [-1, 1], --clip "
                "cuts it off"
            )
        scaled = np.clip(values, -1, 1) * self._scale
        spec = self._contract.action
        beyond = (scaled < np.array(spec.low) - 1e-6) | (scaled > np.array(spec.high) + 1e-6)
        if beyond.any():
            step, dimension = np.argwhere(beyond)[0]
            self._fail(
                f"{demo}: '{spec.names[dimension]}' becomes {scaled[step, dimension]:.4g} {spec.units[dimension]} "
                f"at step {step}, the contract allows {spec.low[dimension]} .. {spec.high[dimension]}"
            )
        return scaled.astype(np.float32)

    def _state(self, demo: str, mapping: StateMapping, group: h5py.Group, steps: int) -> np.ndarray:
        values = mapping.values(lambda key: group[f"obs/{key}"][()])
        size = self._contract.state_spec(mapping.name).size
        if values.shape != (steps, size):
            self._fail(
                f"{demo}: {mapping.text} gives {values.shape} for state '{mapping.name}', expected {(steps, size)} "
                f"(--state {mapping.name}=...)"
            )
        if self._contract.state_spec(mapping.name).type == POSE:
            values = turned_poses(values, self._options.ee_rotation)
        return values

    def _camera(self, demo: str, name: str, frames: h5py.Dataset, steps: int) -> h5py.Dataset:
        spec = next(one for one in self._contract.images if one.name == name)
        fits = (
            frames.ndim == 4
            and frames.shape[3] == spec.shape[2]
            and frames.dtype == spec.dtype
            and len(frames) == steps
        )
        crop = self._options.crop.get(name, "none") if fits else "none"
        shape = cropped(np.empty(frames.shape[1:], np.bool_), crop).shape
        if not fits or (shape != spec.shape and not self._options.resize):
            hint = "; --resize scales them" if fits else ""
            self._fail(
                f"{demo}: camera '{name}' has {frames.dtype} {frames.shape}, the contract {self._contract.source} "
                f"requires {spec.dtype} {(steps, *spec.shape)}{hint}"
            )
        return frames

    def _fitted(self, name: str, image: np.ndarray) -> np.ndarray:
        spec = next(one for one in self._contract.images if one.name == name)
        image = cropped(image, self._options.crop.get(name, "none"))
        image = oriented(image, self._options.orientation.get(name, self._orientation))
        if self._options.channel_order == "bgr" and image.shape[2] == 3:
            image = image[..., ::-1]
        if image.shape != spec.shape:
            import cv2

            shrinks = image.shape[0] > spec.height
            size = (spec.width, spec.height)
            image = np.ascontiguousarray(image)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        return np.ascontiguousarray(image.reshape(spec.shape))


def _present(values: np.ndarray) -> Any:
    """The values; None where one is NaN."""
    return None if np.isnan(values).any() else values
