"""Quaternions (x, y, z, w), matrices and rotation vectors, on plain numpy arrays."""

from __future__ import annotations

import numpy as np


def canonical_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """The unit quaternion (4,) of the same rotation whose largest-magnitude component is positive."""
    q = np.asarray(quaternion, dtype=np.float64)
    q = q / np.linalg.norm(q)
    return -q if q[np.argmax(np.abs(q))] < 0 else q


def matrix_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a unit quaternion (4,) xyzw."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def axis_angle_from_quaternion(quaternion: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) [rad], of length 0..2 pi, of a unit quaternion (4,) xyzw; as robosuite's quat2axisangle."""
    cosine = float(np.clip(quaternion[3], -1.0, 1.0))
    sine = np.sqrt(1.0 - cosine * cosine)
    if sine < 1e-9:
        return np.zeros(3)
    return np.asarray(quaternion[:3], dtype=np.float64) * 2.0 * np.arccos(cosine) / sine


def rotation_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) [rad] of the shortest rotation that turns unit vector `start` into unit vector `end`."""
    axis = np.cross(start, end)
    sine, cosine = np.linalg.norm(axis), float(np.dot(start, end))
    if sine < 1e-9:
        if cosine > 0:
            return np.zeros(3)
        # opposite vectors: any axis at right angles will do
        axis = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
        return np.pi * axis / np.linalg.norm(axis)
    return np.arctan2(sine, cosine) * axis / sine


def wrap_angle(angle: float, period: float = 2 * np.pi) -> float:
    """The angle [rad] equal to `angle` modulo `period` that lies in [-period / 2, period / 2)."""
    return (angle + period / 2) % period - period / 2


def rotated(quaternion: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """The unit quaternion (4,) xyzw turned by a rotation vector (3,) [rad] in the fixed axes: exp(rotation / 2) * q."""
    angle = float(np.linalg.norm(rotation))
    # sin(x/2)/x; its series where the quotient loses digits
    factor = np.sin(angle / 2) / angle if angle > 1e-4 else 0.5 - angle**2 / 48
    turn, w = np.asarray(rotation, np.float64) * factor, np.cos(angle / 2)
    vector, scalar = quaternion[:3], quaternion[3]
    product = np.append(w * vector + scalar * turn + np.cross(turn, vector), w * scalar - turn @ vector)
    return product / np.linalg.norm(product)


def turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) [rad], at most pi long, in the fixed axes, by which `rotated` turns start into end.

    Args:
        start, end: orientations, unit quaternions (4,) xyzw.
    """
    vector = start[3] * end[:3] - end[3] * start[:3] - np.cross(end[:3], start[:3])
    scalar = float(start @ end)
    if scalar < 0:
        vector, scalar = -vector, -scalar
    length = float(np.linalg.norm(vector))
    return vector * (2.0 * np.arctan2(length, scalar) / length if length > 1e-12 else 2.0)
