"""Episode writer beside plain h5py writers, the size of its files, random batches for training, and video.

Frames are rendered by the simulation: 640 x 480 for the writers, 224 x 224 for the batches. Files are sized by
the recorded 84 x 84 frames in test/data; those of the video are drawn (video/scene.py). With --codecs a table of what
the codecs do is printed, with --video only the video is measured.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import yaml
from figure import Figure
from video import episode_video

from apo_core.contract.contract import Contract, contract_from_dict
from apo_core.tasks.expert import make_expert
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, EpisodeOutcome, Observation, Outcome, Step
from apo_episodes.frame_reader import FrameReader
from apo_episodes.hdf5.image_codec import PackedFrame, pack, unpack_jpeg
from apo_episodes.reader import list_episodes, read_episode
from apo_episodes.writer import EpisodeWriter
from apo_sim_bridge.demonstrations.collect import collect
from apo_sim_bridge.sim.env import SimConfig, SimEnv

ROOT = Path(__file__).resolve().parents[1]
RENDERED, ROUNDS = 40, 3
WRITTEN, STEPS = 300, 120  # of an episode: 15 s for the writers, 6 s for the batches
BATCH, BATCHES, EPISODES = 32, 60, 4
DONE = EpisodeOutcome(Outcome.SUCCESS, "bench", True, False)


def contract_of(height: int, width: int) -> Contract:
    """The shipped contract with cameras of another size."""
    values = yaml.safe_load((ROOT / "config" / "contract.yaml").read_text())
    for camera in values["images"].values():
        camera |= {"height": height, "width": width}
    return contract_from_dict(values, "bench")


def rendered(contract: Contract) -> list[dict[str, np.ndarray]]:
    """Images of the first steps of an expert's episode."""
    height, width, _ = contract.images[0].shape
    with SimEnv(SimConfig(camera_height=height, camera_width=width)) as env:
        steps = collect(env, make_expert("Lift"), seed=0, max_steps=RENDERED, extra_steps=RENDERED)
        return [step.frame.images for step in steps]


def recorded() -> list[dict[str, np.ndarray]]:
    """Images of the episodes in test/data."""
    episodes = [read_episode(path) for path in list_episodes(ROOT / "test" / "data" / "takeovers")]
    return [{name: images[t] for name, images in e.images.items()} for e in episodes for t in range(e.num_steps)]


def steps_of(contract: Contract, images: list[dict[str, np.ndarray]], count: int) -> Iterator[Step]:
    """Steps whose images go round and round."""
    rng = np.random.default_rng(0)
    for tick in range(1, count + 1):
        stamp = tick * contract.period_ns
        state = {spec.name: rng.normal(size=spec.size).astype(np.float32) for spec in contract.state}
        streams = (*contract.image_names, *contract.state_names)
        stamps = dict.fromkeys(streams, stamp)
        observation = Observation(stamp, images[tick % len(images)], state, "", stamps, stamps)
        action = rng.uniform(-1, 1, contract.action.size).astype(np.float32)
        source, reason = ControlSource.POLICY, "policy_in_control"
        yield Step(tick, observation, action, action, None, source, reason, 1, stamp, stamp, stamp)


def write_apo(folder: Path, name: str, contract: Contract, steps: list[Step], compression: str = "zstd") -> Path:
    """As the recorder does: every step, journal included, until it is on disk under its name."""
    kind = EpisodeKind.INTERACTION
    info = EpisodeInfo(name, kind, "Lift", "", 0, "", contract.json, "2026-01-01T00:00:00+00:00")
    writer = EpisodeWriter(folder, info, contract, compression)
    for step in steps:
        writer.append(step)
    return writer.finish(DONE)


def write_plain(folder: Path, name: str, contract: Contract, steps: list[Step], **options: object) -> Path:
    """What one writes with h5py at first: a frame a chunk, numbers at the end, then fsync."""
    path = folder / f"{name}.h5"
    with h5py.File(path, "w") as f:
        cameras = {
            s.name: f.create_dataset(s.name, (len(steps), *s.shape), s.dtype, chunks=(1, *s.shape), **options)
            for s in contract.images
        }
        for row, step in enumerate(steps):
            for camera, dataset in cameras.items():
                dataset[row] = step.observation.images[camera]
        f["action"] = np.stack([step.executed_action for step in steps])
        for spec in contract.state:
            f[f"state/{spec.name}"] = np.stack([step.observation.state[spec.name] for step in steps])
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    return path


def bench_writers(folder: Path) -> None:
    contract = contract_of(480, 640)
    steps = list(steps_of(contract, rendered(contract), WRITTEN))
    size = sum(int(np.prod(spec.shape)) for spec in contract.images) * len(steps)
    gzip4 = {"compression": "gzip", "compression_opts": 4}
    writers: dict[str, Callable[[str], Path]] = {
        "apo": lambda name: write_apo(folder, name, contract, steps),
        "gzip4": lambda name: write_plain(folder, name, contract, steps, **gzip4),
        "raw": lambda name: write_plain(folder, name, contract, steps),
    }
    seconds: dict[str, list[float]] = {name: [] for name in writers}
    processor: dict[str, list[float]] = {name: [] for name in writers}
    for index in range(ROUNDS):
        for name, write in writers.items():  # in turn, so that all see the same machine
            begin, used = time.perf_counter(), time.process_time()
            path = write(f"{name}{index}")
            seconds[name].append(time.perf_counter() - begin)
            processor[name].append((time.process_time() - used) / seconds[name][-1])
            path.unlink()
    rate = {name: size / statistics.median(values) * 1e-6 for name, values in seconds.items()}
    frames = len(steps) * len(contract.images)
    for name, value in rate.items():
        per_s = frames / statistics.median(seconds[name])
        share = statistics.median(processor[name])
        print(f"writer {name}: {value:.0f} MB/s, {per_s:.0f} frames/s, {share:.2f} processors")
    ratio = rate["apo"] / rate["gzip4"]
    Figure("writer_vs_gzip4", ratio, "", 5.0, False, ROUNDS, rate["gzip4"], ratio).emit()


def bench_size(folder: Path) -> None:
    contract, images = contract_of(84, 84), recorded()
    steps = list(steps_of(contract, images, len(images)))
    raw = write_plain(folder, "raw", contract, steps).stat().st_size
    for compression in ("zstd", "gzip", "jpeg"):
        begin = time.process_time()
        path = write_apo(folder, compression, contract, steps, compression)
        spent = (time.process_time() - begin) / len(steps) * 1e3
        print(f"file {compression}: {path.stat().st_size / raw:.3f} of raw, {spent:.2f} ms of processor a step")
    ratio = (folder / "zstd.h5").stat().st_size / raw
    Figure("file_vs_raw", ratio, "", 0.6, True, len(steps), raw * 1e-6, ratio).emit()


def bench_batches(folder: Path) -> None:
    contract = contract_of(224, 224)
    images = rendered(contract)
    steps = list(steps_of(contract, images, STEPS))
    paths = [write_apo(folder, f"e{index}", contract, steps) for index in range(EPISODES)]
    gzip4 = {"compression": "gzip", "compression_opts": 4}
    plain = [write_plain(folder, f"p{index}", contract, steps, **gzip4) for index in range(EPISODES)]
    state = [np.concatenate(list(read_episode(path, images=False).state.values()), axis=1) for path in paths]
    rng = np.random.default_rng(0)
    batches = [
        list(zip(*rng.integers((EPISODES, STEPS), size=(BATCH, 2)).T.tolist(), strict=True)) for _ in range(BATCHES)
    ]
    files = [h5py.File(path, "r") for path in plain]
    with FrameReader(paths) as reader:

        def ours(samples: list[tuple[int, int]]) -> None:
            reader.read(samples)
            np.stack([state[index][step] for index, step in samples])

        def theirs(samples: list[tuple[int, int]]) -> None:
            for camera in contract.image_names:
                np.stack([files[index][camera][step] for index, step in samples])
            np.stack([state[index][step] for index, step in samples])

        rates = []
        for read, count in ((ours, BATCHES), (theirs, BATCHES // 6)):
            for samples in batches[:count]:  # warm
                read(samples)
            begin = time.perf_counter()
            for samples in batches[:count]:
                read(samples)
            rates.append(BATCH * count / (time.perf_counter() - begin))
    for file in files:
        file.close()
    name = "batch_read_samples_per_s"
    Figure(name, rates[0], "samples/s", 2000.0, False, BATCHES, rates[1], rates[0] / rates[1]).emit()


def show_codecs(folder: Path) -> None:
    """Ratio and speed of the codecs that h5py users can read, on recorded, rendered and drawn frames."""
    drawn = np.stack([_drawn(index) for index in range(16)])
    sets = {
        "recorded 84x84": np.stack([f["agentview"] for f in recorded()]),
        "rendered 224x224": np.stack([f["agentview"] for f in rendered(contract_of(224, 224))]),
        "drawn 640x480": drawn,
    }
    blosc = hdf5plugin.Blosc2
    codecs = {
        "lzf": {"compression": "lzf"},
        "gzip-1": {"compression": "gzip", "compression_opts": 1},
        "gzip-4": {"compression": "gzip", "compression_opts": 4},
        "blosc2 lz4-5 bitshuffle": blosc(cname="lz4", clevel=5, filters=blosc.BITSHUFFLE),
        "blosc2 zstd-1": blosc(cname="zstd", clevel=1, filters=blosc.NOFILTER),
        "blosc2 zstd-1 bitshuffle": blosc(cname="zstd", clevel=1, filters=blosc.BITSHUFFLE),
        "zstd-1": hdf5plugin.Zstd(clevel=1),
        "zstd-3": hdf5plugin.Zstd(clevel=3),
    }
    for title, frames in sets.items():
        for name, options in codecs.items():
            chunks = (1, *frames.shape[1:])
            with h5py.File(folder / "codec.h5", "w", rdcc_nbytes=0) as f:
                # no cache: each frame is packed and unpacked
                data = f.create_dataset("d", frames.shape, "u1", chunks=chunks, **options)
                spent = [_seconds(lambda d=data, x=frames: [d.__setitem__(i, x[i]) for i in range(len(x))])]
                f.flush()
                spent.append(_seconds(lambda d=data: [d[i] for i in range(len(d))]))
                _show(title, name, data.id.get_storage_size(), frames.nbytes, spent)
        for compression, quality in (("zstd", 0), ("jpeg", 90), ("jpeg", 95)):
            packed: list[PackedFrame] = []
            spent = [_seconds(lambda p=packed, c=compression, q=quality, x=frames: p.extend(pack(i, c, q) for i in x))]
            note = "as chosen, level 1" if compression == "zstd" else f"quality {quality}, not lossless"
            if compression == "jpeg":
                shape = frames.shape[1:]
                spent.append(_seconds(lambda p=packed, s=shape: [unpack_jpeg(frame.data, s) for frame in p]))
            _show(title, f"{compression} ({note})", sum(len(frame.data) for frame in packed), frames.nbytes, spent)


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def _show(title: str, name: str, size: int, raw: int, spent: list[float]) -> None:
    speeds = ", ".join(f"{way} {raw / s * 1e-6:.0f} MB/s" for way, s in zip(("packs", "unpacks"), spent, strict=False))
    print(f"codec {title} {name}: {size / raw:.3f} of raw, {speeds}")


def _drawn(index: int) -> np.ndarray:
    """A frame without noise: gradients and edges that move."""
    y, x = np.mgrid[0:480, 0:640]
    image = np.stack([(x * 0.3 + index) % 256, (y * 0.4) % 256, (x + y) * 0.2 % 256], -1).astype(np.uint8)
    image[(x - 100 - 3 * index) ** 2 + (y - 240) ** 2 < 3600] = (200, 30, 30)
    image[100 + index : 200 + index, 300:400] = (20, 200, 40)
    return image


def bench_video(folder: Path) -> None:
    contract = episode_video.contract_of(yaml.safe_load((ROOT / "config" / "contract.yaml").read_text()))
    episode_video.bench_video(folder, contract, steps_of, write_apo)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench_video(Path(folder))
    if "--video" in sys.argv[1:]:
        return
    with tempfile.TemporaryDirectory() as folder:
        bench_size(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        bench_writers(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        bench_batches(Path(folder))
    if "--codecs" in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            show_codecs(Path(folder))


if __name__ == "__main__":
    main()
