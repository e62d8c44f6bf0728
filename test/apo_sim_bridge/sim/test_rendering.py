"""Which GL library renders, and what of the model."""

import os
import subprocess
import sys

import numpy as np
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


def test_a_window_library_without_a_display_is_an_error_with_its_cure(no_mujoco):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        no_mujoco.delenv(name, raising=False)
    no_mujoco.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(ApoError, match=r"'glfw' cannot render: .* \(needs a display\); unset it"):
        rendering.prepare_backend()


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


def test_boxes_beyond_a_side_of_the_view_are_out_of_it():
    centres = np.array([[0.0, 0, -2], [3, 0, -2], [3, 0, -2], [0, 3, -2], [0, 0, 2], [0, -2.5, -2], [0, -2.5, -2]])
    turned = np.array([[np.sqrt(0.5), 0, np.sqrt(0.5)], [0, 1, 0], [-np.sqrt(0.5), 0, np.sqrt(0.5)]])
    rotations = np.stack([np.eye(3)] * 2 + [turned] + [np.eye(3)] * 4)
    half_sizes = np.array([[0.1, 0.1, 0.1]] * 2 + [[0.1, 0.1, 1.5]] + [[0.1, 0.1, 0.1]] * 3 + [[0.1, 1.0, 0.1]])
    outside = rendering.out_of_view(centres, rotations, half_sizes, (1.0, 1.0))
    # ahead; right of it; the same but long and turned into it; above; behind; below; the same but reaching into it
    assert outside.tolist() == [False, True, False, True, True, True, False]


def _scattered_shapes(rng):
    kinds = ("box", "sphere", "capsule", "cylinder", "ellipsoid", "mesh")
    shapes = []
    for index in range(60):
        kind, size = kinds[index % len(kinds)], rng.uniform(0.05, 0.4, 3)
        position, angles = rng.uniform(-2, 2, 3), rng.uniform(-180, 180, 3)
        extent = 'mesh="wedge"' if kind == "mesh" else f'size="{size[0]} {size[1]} {size[2]}"'
        place = f'pos="{position[0]} {position[1]} {position[2]}" euler="{angles[0]} {angles[1]} {angles[2]}"'
        shapes.append(f'<geom type="{kind}" {extent} {place} rgba="{rng.random()} {rng.random()} 0.5 1" group="1"/>')
    cameras = [
        f'<camera name="{index}" pos="{x} {y} {z}" euler="{a} {b} {c}" fovy="{fovy}"/>'
        for index, (x, y, z, a, b, c, fovy) in enumerate(
            rng.uniform([-1, -1, -1, -180, -180, -180, 20], [1, 1, 1, 180, 180, 180, 110], (8, 7))
        )
    ]
    wedge = '<mesh name="wedge" vertex="0 0 0 .5 0 0 0 .3 0 0 0 .9"/>'
    floor = '<geom type="plane" size="1 1 1" pos="0 0 -1" group="1"/>'
    return f"<mujoco><asset>{wedge}</asset><worldbody>{floor}{''.join(shapes + cameras)}</worldbody></mujoco>"


def test_what_is_out_of_view_changes_no_pixel():
    rendering.prepare_backend()
    import mujoco

    model = mujoco.MjModel.from_xml_string(_scattered_shapes(np.random.default_rng(3)))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    groups, names = model.geom_group.copy(), [str(index) for index in range(8)]
    ours = rendering.FrameRenderer(model, 48, 80, {name: name for name in names})
    plain = mujoco.Renderer(model, 48, 80)
    flags = mujoco.mjtRndFlag
    for flag in (flags.mjRND_SHADOW, flags.mjRND_REFLECTION, flags.mjRND_SKYBOX, flags.mjRND_HAZE):
        plain.scene.flags[flag] = 0
    images = ours.render(data)
    assert model.geom_group.tolist() == groups.tolist()
    for name in names:
        plain.update_scene(data, name)
        np.testing.assert_array_equal(images[name], plain.render(), name)
    colours = np.unique(np.concatenate([images[name].reshape(-1, 3) for name in names]), axis=0)
    assert len(colours) > 50, "the cameras see shapes"
    ours.close()
    plain.close()
