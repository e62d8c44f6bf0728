"""Which GL library renders."""

import subprocess
import sys

import pytest

from apo_sim_bridge.sim import rendering


def test_backend_keeps_the_users_choice_and_falls_back():
    assert rendering.choose_backend({"MUJOCO_GL": "glfw"}, probe=lambda backend: "unused") == "glfw"
    assert rendering.choose_backend({}, probe=lambda backend: "") == "egl"
    assert rendering.choose_backend({}, probe=lambda backend: "" if backend == "osmesa" else "no EGL") == "osmesa"
    with pytest.raises(RuntimeError, match=r"(?s)libegl1 libgl1-mesa-dri libgles2.*libosmesa6"):
        rendering.choose_backend({}, probe=lambda backend: "missing")


def test_a_mujoco_with_another_gl_library_is_rejected():
    code = (
        "import os; os.environ.pop('MUJOCO_GL', None)\n"
        "import robosuite\n"
        "from apo_sim_bridge.sim.rendering import prepare_backend\n"
        "try:\n    prepare_backend()\nexcept RuntimeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mujoco was imported before SimEnv and has taken the GL library 'glfw', not 'egl'" in done.stdout
