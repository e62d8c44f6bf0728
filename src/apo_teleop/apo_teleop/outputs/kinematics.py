"""Kinematics of an arm from its URDF. Pure; computed by MuJoCo."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apo_core.errors import ConfigError
from apo_core.rotations import canonical_quaternion

_MOVING = ("revolute", "continuous", "prismatic")
_VECTORS = (("origin", "xyz", "0 0 0"), ("origin", "rpy", "0 0 0"), ("axis", "xyz", "1 0 0"))  # with their defaults
_LARGEST = 1000.0  # m, rad; a greater number is no part of an arm
_LONGEST = 100  # joints
_SMALL = 1e-9  # length of an axis


@dataclass(frozen=True, slots=True)
class Posture:
    """Where the tip is, in the base link's axes."""

    position: np.ndarray  # (3,) m
    quaternion: np.ndarray  # (4,) xyzw, canonical
    jacobian: np.ndarray  # (6, n): linear [m/s] above angular velocity [rad/s] per joint velocity


class Arm:
    """The joints between two links of a URDF.

    Args:
        urdf: the robot's description, XML.
        base_link, tip_link: ends of the chain; the joints in between that can move are those of `joints`.
        joints: their names, in the order of every joint vector here.
        source: where the URDF comes from, for messages.

    Raises:
        ConfigError: every fault found in the URDF, or MuJoCo is missing.
    """

    def __init__(self, urdf: str, base_link: str, tip_link: str, joints: Sequence[str], source: str):
        chain = _chain(urdf, base_link, tip_link, source)
        moving = [joint for joint in chain if joint.get("type") in _MOVING]
        unnamed = [f"the joint {_ends(joint)} has no name" for joint in moving if not joint.get("name")]
        if unnamed:
            raise ConfigError(source, unnamed)
        names = [joint.get("name", "") for joint in moving]
        faults = [
            f"joint {joint.get('name')!r} is of type {joint.get('type')!r}, must be fixed or one of {list(_MOVING)}"
            for joint in chain
            if joint.get("type") not in (*_MOVING, "fixed")
        ]
        vectors = [_vectors(joint, faults) for joint in chain]
        if sorted(names) != sorted(joints) or len(set(names)) < len(names):
            faults.append(
                f"the joints from {base_link!r} to {tip_link!r} are {names}, those of joint_position in the contract "
                f"{list(joints)}"
            )
        limits = [_limits(joint, faults) for joint in moving]
        if faults:
            raise ConfigError(source, faults)
        order = [names.index(name) for name in joints]
        self.joints = tuple(joints)
        self.lower, self.upper, self.speed = np.array(limits)[order].T  # (n,) rad (m) and rad/s (m/s)
        self._order, self._columns = np.empty(len(order), int), order
        self._order[order] = np.arange(len(order))
        self._mujoco, self._model = _compile(chain, vectors, source)
        self._data = self._mujoco.MjData(self._model)
        self._tip = self._model.nbody - 1
        self._linear, self._angular = np.zeros((3, len(order))), np.zeros((3, len(order)))

    def at(self, positions: np.ndarray) -> Posture:
        """The tip's pose and Jacobian at joint positions (n,) [rad, m]."""
        mujoco, model, data = self._mujoco, self._model, self._data
        data.qpos[:] = np.asarray(positions, np.float64)[self._order]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_jacBody(model, data, self._linear, self._angular, self._tip)
        return Posture(
            position=data.xpos[self._tip].copy(),
            quaternion=canonical_quaternion(np.roll(data.xquat[self._tip], -1)),
            jacobian=np.vstack([self._linear, self._angular])[:, self._columns],
        )


def _chain(urdf: str, base_link: str, tip_link: str, source: str) -> list[ET.Element]:
    """The joints from base to tip."""
    try:
        robot = ET.fromstring(urdf)
    except ET.ParseError as error:
        hint = "; a .xacro file must go through xacro first" if "xacro" in urdf[:2000] else ""
        raise ConfigError(source, [f"is not XML: {error}{hint}"]) from None
    links = [link.get("name") for link in robot.findall("link")]
    missing = [
        f"{name} = {link!r} is not a link of the robot; known: {', '.join(map(str, links))}"
        for name, link in (("base_link", base_link), ("tip_link", tip_link))
        if link not in links
    ]
    if missing:
        raise ConfigError(source, missing)
    above = {
        child.get("link"): joint
        for joint in robot.findall("joint")
        if (child := joint.find("child")) is not None and child.get("link")
    }
    chain: list[ET.Element] = []
    link = tip_link
    while link != base_link:
        joint = above.get(link)
        parent = joint.find("parent") if joint is not None else None
        if joint is None or parent is None or joint in chain:
            raise ConfigError(source, [f"tip_link = {tip_link!r} does not hang on base_link = {base_link!r}"])
        if len(chain) == _LONGEST:
            raise ConfigError(source, [f"more than {_LONGEST} joints lie between {base_link!r} and {tip_link!r}"])
        chain.insert(0, joint)
        link = parent.get("link", "")
    return chain


def _ends(joint: ET.Element) -> str:
    """Where a joint is, for people."""
    parent, child = (part.get("link") if part is not None else None for part in map(joint.find, ("parent", "child")))
    return f"from link {parent!r} to {child!r}"


def _vectors(joint: ET.Element, faults: list[str]) -> list[str]:
    """Place, rotation and axis of a joint, three numbers each; what is wrong is added to `faults`."""
    texts = []
    for tag, key, default in _VECTORS:
        part = joint.find(tag)
        texts.append(default if part is None else part.get(key, default))
        try:
            numbers = [float(number) for number in texts[-1].split()]
        except ValueError:
            numbers = []
        if len(numbers) != 3 or not all(abs(number) <= _LARGEST for number in numbers):
            faults.append(
                f"joint {joint.get('name')!r} {_ends(joint)}: {tag} {key} = {texts[-1]!r} must be three numbers of at "
                f"most {_LARGEST:g}"
            )
        elif tag == "axis" and np.linalg.norm(numbers) < _SMALL:
            faults.append(f"joint {joint.get('name')!r} {_ends(joint)}: axis = {texts[-1]!r} has no direction")
    return texts


def _limits(joint: ET.Element, faults: list[str]) -> tuple[float, float, float]:
    """Lower, upper and speed limit of a joint; what is wrong is added to `faults`."""
    limit, name = joint.find("limit"), joint.get("name")
    values: dict[str, float] = {}
    wanted = ("velocity",) if joint.get("type") == "continuous" else ("lower", "upper", "velocity")
    for key in wanted:
        text = "" if limit is None else limit.get(key, "0" if key != "velocity" else "")
        try:
            values[key] = float(text)
        except ValueError:
            values[key] = np.nan
    lower, upper = values.get("lower", -np.inf), values.get("upper", np.inf)
    if not lower < upper:
        faults.append(f"joint {name!r}: limit lower = {lower}, upper = {upper} must be two numbers, the lower first")
    if not 0 < values["velocity"] < np.inf:
        faults.append(f"joint {name!r}: limit velocity = {values['velocity']} must be above 0 and finite")
    return lower, upper, values["velocity"]


def _compile(chain: list[ET.Element], vectors: list[list[str]], source: str) -> tuple[Any, Any]:
    """MuJoCo and its model of a chain: nothing but frames and axes goes in, so that no mesh is looked for."""
    try:
        import mujoco
    except ImportError as error:
        fault = f"a joint output needs MuJoCo: pip install -r requirements/kinematics.in ({error})"
        raise ConfigError("config/arbiter.yaml", [fault]) from None
    robot = ET.Element("robot", name="arm")
    options = ET.SubElement(robot, "mujoco")
    ET.SubElement(options, "compiler", fusestatic="false", boundmass="1", boundinertia="1")
    ET.SubElement(robot, "link", name="link0")
    for i, (joint, (xyz, rpy, axis)) in enumerate(zip(chain, vectors, strict=True)):
        ET.SubElement(robot, "link", name=f"link{i + 1}")
        kind = joint.get("type", "")
        made = ET.SubElement(robot, "joint", name=f"joint{i}", type="continuous" if kind == "revolute" else kind)
        ET.SubElement(made, "parent", link=f"link{i}")
        ET.SubElement(made, "child", link=f"link{i + 1}")
        ET.SubElement(made, "origin", xyz=xyz, rpy=rpy)
        ET.SubElement(made, "axis", xyz=axis)
        limit = joint.find("limit")
        if kind == "prismatic" and limit is not None:
            ET.SubElement(made, "limit", limit.attrib)
    try:
        return mujoco, mujoco.MjModel.from_xml_string(ET.tostring(robot, encoding="unicode"))
    except ValueError as error:
        raise ConfigError(source, [f"MuJoCo rejects the chain: {error}"]) from None
