"""Headless rendering: which GL library MuJoCo uses, and a renderer with the slow effects off."""

from __future__ import annotations

import atexit
import math
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from apo_core.errors import ApoError

if TYPE_CHECKING:
    import mujoco

BACKENDS = {
    "egl": "apt install libegl1 libgl1-mesa-dri libgles2",
    "osmesa": "apt install libosmesa6",
}
_PROBED = "APO_MUJOCO_GL_WORKS"  # the library that a parent process has tried already
_HIDDEN_GROUP = 5  # the last of MuJoCo's groups of shapes; robosuite uses 0 and 1
# GLFW makes a context without a display too; what it is worth shows when its functions are loaded
_PROBE = """
import os, sys
try:
    import mujoco
    context = mujoco.GLContext(16, 16)
    context.make_current()
    mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_50.value)
except Exception as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(1)
os._exit(0)
"""


class RenderingError(ApoError, RuntimeError):
    """No GL library, or not the chosen one, can render here."""


def _probe(backend: str) -> str:
    """Makes a context that renders in a fresh process; returns "" if that worked, else the last line of the error."""
    # a process of its own, since PyOpenGL can load only one platform per process
    environment = {**os.environ, "MUJOCO_GL": backend}
    environment.pop("PYOPENGL_PLATFORM", None)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]


def choose_backend(environment: Mapping[str, str], probe: Callable[[str], str] = _probe) -> str:
    """The value MUJOCO_GL should have: what the user set, else the first backend that works.

    Raises:
        RenderingError: none works; names the packages to install.
    """
    if environment.get("MUJOCO_GL"):
        return environment["MUJOCO_GL"]
    failures = []
    for backend, remedy in BACKENDS.items():
        reason = probe(backend)
        if not reason:
            return backend
        failures.append(f"  MUJOCO_GL={backend}: {reason} ({remedy})")
    raise RenderingError("MuJoCo cannot render without a display; install one of these:\n" + "\n".join(failures))


def prepare_backend(probe: Callable[[str], str] = _probe) -> str:
    """Sets MUJOCO_GL in this process; call it before anything imports mujoco. Returns the backend.

    Raises:
        RenderingError: mujoco is imported already with another GL library, or no backend works, or not the chosen one.
    """
    is_chosen = bool(os.environ.get("MUJOCO_GL"))
    backend = choose_backend(os.environ, probe)
    loaded = _loaded_backend(sys.modules)
    if loaded and loaded != backend:
        raise RenderingError(
            f"mujoco was imported before SimEnv and has taken the GL library '{loaded}', not '{backend}'; "
            f"import SimEnv's user first, or set MUJOCO_GL={backend} for the whole process"
        )
    if not loaded and is_chosen and os.environ.get(_PROBED) != backend and (reason := probe(backend)):
        remedy = BACKENDS.get(backend, "needs a display")
        raise RenderingError(f"MUJOCO_GL = {backend!r} cannot render: {reason} ({remedy}); unset it to take what works")
    os.environ["MUJOCO_GL"] = os.environ[_PROBED] = backend
    if backend in BACKENDS:
        os.environ["PYOPENGL_PLATFORM"] = backend  # MuJoCo rejects another one
    return backend


def _loaded_backend(modules: Mapping[str, object]) -> str:
    """The GL library of a mujoco that is imported already; "" without one: MUJOCO_GL alone is no evidence,
    since importing robosuite sets it after mujoco has chosen."""
    context = getattr(modules.get("mujoco.gl_context"), "GLContext", None)
    return context.__module__.rpartition(".")[2] if context is not None else ""


def out_of_view(
    centres: np.ndarray, rotations: np.ndarray, half_sizes: np.ndarray, half_tangents: tuple[float, float]
) -> np.ndarray:
    """Which boxes lie wholly beyond one of the four side planes of a pinhole camera's view.

    Args:
        centres: float (N, 3), in the camera's axes: right, up and backward.
        rotations: float (N, 3, 3), columns are the axes of each box there.
        half_sizes: float (N, 3), along those axes.
        half_tangents: tangents of half the horizontal and half the vertical field of view.

    Returns:
        bool (N,).
    """
    outside = np.zeros(len(centres), bool)
    for axis, tangent in enumerate(half_tangents):
        for sign in (1.0, -1.0):
            normal = np.zeros(3)
            normal[axis], normal[2] = sign, tangent  # the plane goes through the camera
            reach = (np.abs(normal @ rotations) * half_sizes).sum(axis=1)
            outside |= centres @ normal > reach
    return outside


class FrameRenderer:
    """Renders named cameras of one model to (height, width, 3) uint8 rgb, upright.

    A GL context belongs to the thread that made it: use and close it there.

    Raises:
        ValueError: a camera that the model does not have.
    """

    def __init__(self, model: mujoco.MjModel, height: int, width: int, cameras: Mapping[str, str]):
        import mujoco

        available = [model.camera(index).name for index in range(model.ncam)]
        unknown = [camera for camera in cameras.values() if camera not in available]
        if unknown:
            raise ValueError(
                f"cameras {unknown} are not in the model; known: {available} (config/sim_bridge.yaml: cameras)"
            )
        self._cameras = {name: model.camera(camera).id for name, camera in cameras.items()}
        self._model, self._aspect = model, width / height
        # multisampling, shadow maps and mirrors cost most of a software-rendered frame
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        model.mat_reflectance[:] = 0
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        self._renderer = mujoco.Renderer(model, height, width)
        flags = mujoco.mjtRndFlag
        for flag in (flags.mjRND_SHADOW, flags.mjRND_REFLECTION, flags.mjRND_SKYBOX, flags.mjRND_HAZE):
            self._renderer.scene.flags[flag] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[0] = 0  # collision shapes
        self._option.geomgroup[_HIDDEN_GROUP] = 0
        self._option.sitegroup[:] = 0  # markers a real camera cannot see
        # contexts must go before the GL library's own exit handler, which runs after this one
        atexit.register(_call_if_alive, weakref.WeakMethod(self.close))

    def render(self, data: mujoco.MjData) -> dict[str, np.ndarray]:
        """Images of the current state of `data`, a fresh array for each published name."""
        images, groups = {}, self._model.geom_group.copy()
        for name, camera in self._cameras.items():
            self._model.geom_group[self._out_of_view(data, camera)] = _HIDDEN_GROUP
            try:
                self._renderer.update_scene(data, camera, self._option)
            finally:
                self._model.geom_group[:] = groups
            images[name] = self._renderer.render()
        return images

    def _out_of_view(self, data: mujoco.MjData, camera: int) -> np.ndarray:
        """Shapes (ngeom,) whose vertices need not be processed: a robot's meshes cost most of a small frame."""
        model = self._model
        if model.cam_orthographic[camera] or model.cam_sensorsize[camera].any():  # no symmetric pinhole
            return np.zeros(model.ngeom, bool)
        vertical = math.tan(math.radians(model.cam_fovy[camera]) / 2)
        axes, shapes = data.cam_xmat[camera].reshape(3, 3), data.geom_xmat.reshape(-1, 3, 3)
        middle, half_sizes = model.geom_aabb[:, :3], model.geom_aabb[:, 3:]
        centres = data.geom_xpos + (shapes @ middle[..., None])[..., 0] - data.cam_xpos[camera]
        outside = out_of_view(centres @ axes, axes.T @ shapes, half_sizes, (vertical * self._aspect, vertical))
        return outside & (model.geom_rbound > 0)  # a plane has no bounds

    def close(self) -> None:
        """Frees the GL context; safe to call twice."""
        self._renderer.close()


def _call_if_alive(method: weakref.WeakMethod) -> None:
    bound = method()
    if bound is not None:
        bound()
