"""An episode of three cameras of 640 x 480 at 30 Hz for 10 s: lossless, as JPEG and as video, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from figure import Figure
from video.scene import HEIGHT, WIDTH, Scene

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.types import Step
from apo_episodes.compaction import CompactSettings, compact_episode
from apo_episodes.files import frame_blocks
from apo_episodes.frame_reader import FrameReader
from apo_episodes.hdf5.video_file import Psnr
from apo_episodes.reader import read_episode

CAMERAS = {"front": False, "side": False, "wrist": True}  # whether they move
STEPS, RATE_HZ = 300, 30.0
BATCH, BATCHES = 32, 30
Steps = Callable[[Contract, list[dict[str, np.ndarray]], int], Iterator[Step]]
Write = Callable[[Path, str, Contract, list[Step], str], Path]


def contract_of(values: dict) -> Contract:
    """The shipped contract, plain data, with the three cameras and their rate."""
    images = {
        name: {"topic": f"{name}/image_raw", "height": HEIGHT, "width": WIDTH, "encoding": "rgb8"} for name in CAMERAS
    }
    return contract_from_dict({**values, "rate_hz": RATE_HZ, "images": images}, "bench")


def bench_video(folder: Path, contract: Contract, steps_of: Steps, write: Write) -> None:
    """Prints the figures.

    Args:
        folder: empty.
        contract: of `contract_of`.
        steps_of: (contract, images, count) -> steps.
        write: (folder, name, contract, steps, compression) -> episode file.
    """
    scenes = {name: Scene(seed, moves) for seed, (name, moves) in enumerate(CAMERAS.items())}
    images = [{name: scene.frame(index) for name, scene in scenes.items()} for index in range(STEPS)]
    # `steps_of` takes the images from the second on, and the first at the end
    steps = list(steps_of(contract, images[-1:] + images[:-1], STEPS))
    files, seconds = {}, {}
    for compression in ("zstd", "jpeg"):
        begin = time.process_time()
        files[compression] = write(folder, compression, contract, steps, compression)
        seconds[compression] = time.process_time() - begin
    lossless = {"samples": _batches(files["zstd"])}
    sizes = {name: path.stat().st_size / 1e6 for name, path in files.items()}
    begin = time.process_time()
    result = compact_episode(files["zstd"], CompactSettings(), datetime.now(UTC))
    seconds["video"] = time.process_time() - begin
    if not result.is_new:
        raise SystemExit(f"bench: {result.reason}")
    files["video"], sizes["video"] = files["zstd"], result.bytes_after / 1e6
    quality = {name: _psnr(files[name], images) for name in ("jpeg", "video")}
    del images, steps
    cold, warm = _batches(files["video"])
    for name, size in sizes.items():
        text = f"episode {name}: {size:.1f} MB, {size / sizes['zstd']:.3f} of zstd, {seconds[name]:.1f} s of processor"
        print(text + (f", {quality[name]:.1f} dB" if name in quality else ""))
    print(f"video batches: {cold:.0f} samples/s cold, {warm:.0f} warm; lossless {lossless['samples'][1]:.0f} warm")
    Figure(
        *("video_episode_mb", sizes["video"], "MB", 10.0, True, STEPS), sizes["zstd"], sizes["video"] / sizes["zstd"]
    ).emit()
    Figure(
        *("video_psnr_db", quality["video"], "dB", 38.0, False, STEPS),
        quality["jpeg"],
        quality["video"] / quality["jpeg"],
    ).emit()
    # of a second of recording; above 1 a machine falls behind what one robot records
    share = seconds["video"] * RATE_HZ / STEPS
    plain = seconds["zstd"] * RATE_HZ / STEPS
    Figure("video_compact_processors", share, "", 1.0, True, STEPS, plain, share / plain).emit()
    name = "video_batch_samples_per_s"
    Figure(
        name, warm, "samples/s", 2000.0, False, BATCHES, lossless["samples"][1], warm / lossless["samples"][1]
    ).emit()


def _batches(path: Path) -> tuple[float, float]:
    """(cold, warm) samples/s of random batches; cold is the first time that each is read."""
    rng = np.random.default_rng(0)
    batches = [[(0, int(step)) for step in rng.integers(0, STEPS, BATCH)] for _ in range(BATCHES)]
    rates = []
    with FrameReader([path]) as reader:
        batch = {name: np.zeros((BATCH, HEIGHT, WIDTH, 3), np.uint8) for name in CAMERAS}
        # cold: batches of which nothing was decoded before, so far as the cache allows
        for some in (batches[:2], batches, batches):
            begin = time.perf_counter()
            for samples in some:
                reader.read(samples, batch)
            rates.append(BATCH * len(some) / (time.perf_counter() - begin))
    return rates[0], rates[2]


def _psnr(path: Path, images: list[dict[str, np.ndarray]]) -> float:
    """Of the worst camera."""
    quality = {name: Psnr() for name in CAMERAS}
    for start, frames in frame_blocks(read_episode(path, images=False)):
        for name, values in frames.items():
            originals = np.stack([image[name] for image in images[start : start + len(values)]])
            quality[name].add(values, originals)
    return min(psnr.mean_db for psnr in quality.values())
