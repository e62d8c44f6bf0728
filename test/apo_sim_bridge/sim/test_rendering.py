"""Which GL library renders."""

import os
import subprocess
import sys

import pytest

from apo_core.errors import ApoError
from apo_sim_bridge.sim import rendering


def test_backend_keeps_the_users_choice_and_falls_back():
    assert rendering.choose_backend({"MUJOCO_GL": "glfw"}, probe=lambda backend: "unused") == "glfw"
    assert rendering.choose_backend({}, probe=lambda backend: "") == "egl"
    assert rendering.choose_backend({}, probe=lambda backend: "" if backend == "osmesa" else "no EGL") == "osmesa"
    with pytest.raises(RuntimeError, match=r"(?s)libegl1 libgl1-mesa-dri libgles2.*libosmesa6"):
        rendering.choose_backend({}, probe=lambda backend: "missing")


@pytest.fixture
def no_mujoco(monkeypatch):
    """As in a process that has not imported it."""
    monkeypatch.setitem(sys.modules, "mujoco.gl_context", None)
    for name in ("APO_MUJOCO_GL_WORKS", "PYOPENGL_PLATFORM"):
        monkeypatch.setenv(name, "")
    return monkeypatch


def test_a_chosen_library_that_cannot_render_is_an_error_with_its_cure(no_mujoco):
    no_mujoco.setenv("MUJOCO_GL", "osmesa")
    with pytest.raises(ApoError, match=r"'osmesa' cannot render: no library \(apt install libosmesa6\); unset it"):
        rendering.prepare_backend(lambda backend: "no library")


def test_a_chosen_library_is_tried_once_for_all_child_processes(no_mujoco):
    no_mujoco.setenv("MUJOCO_GL", "egl")
    tried = []
    for _ in range(2):
        assert rendering.prepare_backend(lambda backend: tried.append(backend) or "") == "egl"
    assert tried == ["egl"] and os.environ["PYOPENGL_PLATFORM"] == "egl"


def test_a_mujoco_with_another_gl_library_is_rejected():
    code = (
        "import os; os.environ.pop('MUJOCO_GL', None)\n"
        "import robosuite\n"
        "from apo_sim_bridge.sim.rendering import prepare_backend\n"
        "try:\n    prepare_backend()\nexcept RuntimeError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "mujoco was imported before SimEnv and has taken the GL library 'glfw', not 'egl'" in done.stdout
