"""Damaged and hostile files: a reader raises EpisodeFormatError, in time, and never takes the process with it.

The damaged files are read in another process, since HDF5 is C: a crash or a hang must fail the test, not end it.
APO_FUZZ_FILES=300 in the environment makes so many of each kind.
"""

import os
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeOutcome, Outcome
from apo_episodes.compaction import CompactSettings, compact_episode
from apo_episodes.reader import read_episode, read_frames, verify_checksums
from apo_episodes.recovery import recover_episode
from apo_episodes.writer import EpisodeWriter

OLD = Path(__file__).parents[1] / "data" / "takeovers" / "lift-10003.h5"  # schema version 1
DONE = EpisodeOutcome(Outcome.SUCCESS, "t", True, False)
FILES, WAIT_S = int(os.environ.get("APO_FUZZ_FILES", "100")), 250.0
_READ = """
import faulthandler, pathlib, sys
import numpy as np
from apo_episodes.reader import read_episode, verify_checksums
from apo_core.errors import EpisodeFormatError
source, target, seed, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
content, rng = source.read_bytes(), np.random.default_rng(seed)
read = rejected = 0
for _ in range(count):
    # a file that hangs ends the process, with the line that hangs
    faulthandler.dump_traceback_later(20, exit=True)
    damaged = bytearray(content)
    # most of what HDF5 interprets is at the start and the end
    reach = len(damaged) if rng.random() < 0.5 else min(len(damaged), 40_000)
    kind = rng.random()
    if kind < 0.1:
        damaged = damaged[: int(rng.integers(len(damaged)))]
    elif kind < 0.2:
        at = int(rng.integers(reach))
        damaged[at : at + 64] = rng.bytes(64)
    else:
        for at in rng.integers(0, reach, int(rng.integers(1, 6))):
            damaged[at] ^= 1 << int(rng.integers(8))
    target.write_bytes(damaged)
    try:
        read_episode(target)
        verify_checksums(target)
        read += 1
    except EpisodeFormatError:
        rejected += 1
print(read, rejected)
"""


@pytest.fixture
def write(tmp_path, small_contract, make_info, make_step):
    def make(compression="zstd", steps=10):
        writer = EpisodeWriter(tmp_path, make_info(), small_contract, compression)
        for tick in range(1, steps + 1):
            writer.append(make_step(tick))
        return writer.finish(DONE)

    return make


def damaged(source: Path, target: Path, seed: int, count: int) -> tuple[int, int]:
    """(files that still read, files that were rejected)."""
    arguments = [str(source), str(target), str(seed), str(count)]
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _READ, *arguments],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read, rejected = map(int, done.stdout.split())
    return read, rejected


def test_damaged_videos_never_crash_the_reader(tmp_path, write_film):
    path = write_film("PPHPOPPPPP")
    assert compact_episode(path, CompactSettings(gop=5), datetime(2026, 3, 1, tzinfo=UTC)).is_new
    read, rejected = damaged(path, tmp_path / "damaged.h5", 4, FILES // 2)
    assert rejected > FILES // 8 and read + rejected == FILES // 2


@pytest.mark.parametrize("compression", ["zstd", "gzip", "jpeg", "none"])
def test_damaged_files_never_crash_the_reader(tmp_path, write, compression):
    read, rejected = damaged(write(compression), tmp_path / "damaged.h5", 1, FILES)
    assert rejected > FILES // 3 and read + rejected == FILES


def test_damaged_files_of_version_1_neither(tmp_path):
    read, rejected = damaged(OLD, tmp_path / "damaged.h5", 2, FILES // 3)
    assert rejected > FILES // 20 and read + rejected == FILES // 3


def test_changed_content_is_found_by_its_checksum(write):
    path = write("none")
    assert verify_checksums(path) == []
    content = bytearray(path.read_bytes())
    with h5py.File(path, "r") as f:
        offset = f["observation/images/front"].id.get_chunk_info(3).byte_offset
    content[offset + 5] ^= 1
    path.write_bytes(content)
    assert read_episode(path).num_steps == 10
    assert verify_checksums(path) == ["observation/images/front"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda f: f["action/executed"].write_direct(np.zeros((10, 7), "f4")), "action/executed"),
        (lambda f: f.attrs.__setitem__("operator", "bob"), "attributes"),
        (lambda f: f.create_dataset("extra", data=1.0), "extra"),
        (lambda f: f.attrs.__setitem__("outcome", "FAILURE"), "attributes"),
    ],
)
def test_every_change_is_named(write, change, named):
    path = write()
    with h5py.File(path, "r+") as f:
        change(f)
    assert verify_checksums(path) == [named]


def test_version_1_has_no_checksums():
    assert verify_checksums(OLD) == []


def _replace(f, name, *args, **options):
    del f[name]
    return f.create_dataset(name, *args, **options)


def _outside(f, name, what):
    del f[name]
    f[name] = what


def _claims(f):
    # chunks that are there once, in a shape that needs millions
    f.attrs["num_steps"] = 5_000_000
    data = _replace(f, "action/executed", (5_000_000, 7), "f4", chunks=(1000, 7))
    data[:1000] = 0


def _bomb(f):
    data = _replace(
        f, "observation/images/front", (10, 4, 6, 3), "u1", chunks=(1, 4, 6, 3), compression="gzip", shuffle=False
    )
    for row in range(10):
        data.id.write_direct_chunk((row, 0, 0, 0), zlib.compress(bytes(50_000_000), 1))


def _filter_chain(f):
    data = _replace(f, "control/tick", (10,), "i8", chunks=(10,), fletcher32=True, shuffle=True, compression="gzip")
    data.id.write_direct_chunk((0,), b"\0" * 40)


HOSTILE = {
    "external link": lambda f: _outside(f, "control/tick", h5py.ExternalLink("/etc/hostname", "x")),
    "external link above": lambda f: _outside(f, "observation", h5py.ExternalLink("/proc/self/environ", "/")),
    "soft link": lambda f: _outside(f, "control/tick", h5py.SoftLink("/observation/stamp_ns")),
    "soft link in a circle": lambda f: _outside(f, "control/tick", h5py.SoftLink("/control/tick")),
    "group in itself": lambda f: _outside(f, "control", f["/"]),
    "raw data of another file": lambda f: _replace(f, "control/tick", (10,), "i8", external=[("/etc/passwd", 0, 80)]),
    "object references": lambda f: _replace(f, "control/tick", (10,), h5py.ref_dtype),
    "region references": lambda f: _replace(f, "control/tick", (10,), h5py.regionref_dtype),
    "compound": lambda f: _replace(f, "control/tick", (10,), [("a", "i8"), ("b", "f4", (1000,))]),
    "texts for numbers": lambda f: _replace(f, "action/executed", (10, 7), h5py.string_dtype()),
    "numbers for texts": lambda f: _replace(f, "control/reason", (10,), "f8"),
    "huge shape": _claims,
    "huge chunk": lambda f: _replace(f, "control/tick", (10,), "i8", maxshape=(None,), chunks=(400_000_000,)),
    "scalar": lambda f: _replace(f, "control/tick", data=5),
    "no values": lambda f: _replace(f, "control/tick", data=h5py.Empty("i8")),
    "bomb": _bomb,
    "damaged filters": _filter_chain,
    "list for a count": lambda f: f.attrs.__setitem__("num_steps", [10, 10]),
    "reference for a text": lambda f: f.attrs.__setitem__("task", f["control"].ref),
    "deep JSON": lambda f: f.attrs.__setitem__("contract", "[" * 60_000),
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_rejected(write, attack):
    path = write()
    with h5py.File(path, "r+") as f:
        attack(f)
    if attack is not HOSTILE["reference for a text"]:  # which reads as a text that means nothing
        with pytest.raises(EpisodeFormatError, match=r"e1\.h5"):
            read_episode(path)
    assert verify_or_reject(path) != []


def verify_or_reject(path: Path) -> list[str]:
    try:
        return verify_checksums(path)
    except EpisodeFormatError:
        return ["rejected"]


def test_frames_of_a_hostile_file_are_rejected(write):
    path = write()
    with h5py.File(path, "r+") as f:
        _bomb(f)
    with pytest.raises(EpisodeFormatError):
        read_frames(path, [0])


def test_random_journals_are_rejected(tmp_path, small_contract, make_info, make_step):
    writer = EpisodeWriter(tmp_path / "a", make_info(), small_contract)
    for tick in range(1, 11):
        writer.append(make_step(tick))
    writer.abandon()
    content, rng = writer.partial_path.read_bytes(), np.random.default_rng(3)
    rejected = 0
    for index in range(60):
        journal = tmp_path / str(index) / ".partial" / "e1.journal"
        journal.parent.mkdir(parents=True)
        data = bytearray(content)
        for at in rng.integers(0, len(data), 3):
            data[at] ^= 1 << int(rng.integers(8))
        journal.write_bytes(data)
        try:
            assert verify_checksums(recover_episode(journal)) == []
        except EpisodeFormatError:
            rejected += 1
            assert journal.exists()
    assert 0 < rejected < 60
