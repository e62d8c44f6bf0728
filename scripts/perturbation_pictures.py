"""Renders docs/images/perturbations.png and perturbation_streams.png, the pictures of docs/how-to/perturbations.md.

usage, after `source scripts/env.sh`: python scripts/perturbation_pictures.py [folder]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw

from apo_core.config.parameters import build
from apo_sim_bridge.perturbation.settings import Perturbation, StreamPerturbation
from apo_sim_bridge.perturbation.streams import arrival_ages
from apo_sim_bridge.sim.env import SimConfig, SimEnv

SEED = 3
SIZE = 168  # pixels of a picture
COLUMNS = 5
COLOURS = 256  # of the whole sheet, which keeps the file small
CAPTION = 16  # pixels
STEPS = 60  # of the plot

# task, image, parameters
PICTURES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    ("Stack", "agentview", {}),
    ("Stack", "agentview", {"position_range_scale": 2.5}),
    ("NutAssemblySquare", "agentview", {}),
    ("NutAssemblySquare", "agentview", {"target_range_scale": 1.0}),
    ("Stack", "agentview", {"distractors": 5}),
    ("Stack", "agentview", {"background": "bricks"}),
    ("Stack", "agentview", {"background": "yellow"}),
    ("Stack", "agentview", {"background": "dark"}),
    ("Stack", "agentview", {"background": "grey"}),
    ("Stack", "agentview", {"texture": "grey_table"}),
    ("Stack", "agentview", {"texture": "wood_table"}),
    ("Stack", "agentview", {"texture": "dark_table"}),
    ("Stack", "agentview", {"texture": "blue_object"}),
    ("Stack", "agentview", {"texture": "wood_objects"}),
    ("Stack", "agentview", {"light_intensity": [0.4, 0.4]}),
    ("Stack", "agentview", {"light_tint": [1.0, 0.8, 0.55]}),
    ("Stack", "agentview", {"light_turn_rad": [1.0, 0.0, 0.0]}),
    ("Stack", "agentview", {"headlight": 0.0}),
    ("Stack", "agentview", {"camera_offset_m": [0.08, 0.05, 0.0]}),
    ("Stack", "agentview", {"camera_turn_rad": [0.0, 0.08, 0.3]}),
)
# label, parameters
STREAMS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("observation_delay_steps: [2, 2]", {"observation_delay_steps": (2, 2)}),
    ("observation_delay_steps: [0, 4]", {"observation_delay_steps": (0, 4)}),
    (
        "frame_drop_probability: 0.1, frame_drop_burst: [2, 5]",
        {"frame_drop_probability": 0.1, "frame_drop_burst": (2, 5)},
    ),
)


def picture(task: str, image: str, parameters: Mapping[str, Any]) -> np.ndarray:
    """uint8 (SIZE, SIZE, 3) of the start of the episode of SEED."""
    perturbation = build(Perturbation, dict(parameters), "perturbation_pictures")
    cameras = {"agentview": "agentview", "wrist": "robot0_eye_in_hand"}
    config = SimConfig(
        task=task, camera_height=2 * SIZE, camera_width=2 * SIZE, cameras=cameras, perturbation=perturbation
    )
    with SimEnv(config) as env:
        large = env.reset(SEED).images[image]
    return np.asarray(Image.fromarray(large).resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def sheet() -> Image.Image:
    """All pictures with what makes them."""
    rows = -(-len(PICTURES) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (SIZE + 4) - 4, rows * (SIZE + CAPTION + 4) - 4), "white")
    draw = ImageDraw.Draw(page)
    for index, (task, image, parameters) in enumerate(PICTURES):
        row, column = divmod(index, COLUMNS)
        x, y = column * (SIZE + 4), row * (SIZE + CAPTION + 4)
        text = ", ".join(f"{name}: {value}" for name, value in parameters.items()) or f"{task}, usual"
        page.paste(Image.fromarray(picture(task, image, parameters)), (x, y + CAPTION))
        draw.text((x + 1, y + 2), text, fill="black", font_size=10)
        print(f"{index + 1} of {len(PICTURES)}: {text}", flush=True)
    return page.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def stream_plot(path: Path) -> None:
    """Age of the newest whole frame at each step."""
    matplotlib.use("agg")
    figure, axes = plt.subplots(len(STREAMS), 1, sharex=True, figsize=(7.0, 4.2), layout="constrained")
    for axis, (label, parameters) in zip(axes, STREAMS, strict=True):
        ages = arrival_ages(StreamPerturbation(**parameters), ("agentview", "wrist"), STEPS, SEED)
        known = ages >= 0
        axis.step(np.arange(STEPS)[known], ages[known], where="mid", color="tab:blue")
        axis.set_title(label, fontsize=9, loc="left")
        axis.set_ylim(-0.3, max(5, ages.max()) + 0.5)
        axis.set_ylabel("age, steps", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[-1].set_xlabel("control step (50 ms)", fontsize=8)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def main(folder: Path) -> None:
    """Writes both files."""
    folder.mkdir(parents=True, exist_ok=True)
    stream_plot(folder / "perturbation_streams.png")
    sheet().save(folder / "perturbations.png", optimize=True)
    print(f"{folder}/perturbations.png, {folder}/perturbation_streams.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images")
