import json
import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_core.types import ControlSource, EpisodeOutcome, Outcome
from apo_episodes.hdf5.checksums import attributes_checksum, plain_attributes
from apo_episodes.reader import episode_marks, read_episode, read_frames, verify_checksums
from apo_episodes.writer import EpisodeWriter

SUCCESS = EpisodeOutcome(Outcome.SUCCESS, "task_success", terminated=True, truncated=False)
POLICY, HUMAN, HOLD = ControlSource.POLICY, ControlSource.HUMAN, ControlSource.HOLD


RECORDED = Path(__file__).parents[1] / "data" / "takeovers" / "lift-10003.h5"  # schema version 1


@pytest.fixture
def write(tmp_path, small_contract, make_info, make_step):
    """(sources) -> path of a finished episode, one step a source; `change(step)` gives the step to be written."""

    def make(sources=(POLICY,) * 3, episode_id="e1", compression="zstd", change=lambda step: step):
        writer = EpisodeWriter(tmp_path, make_info(episode_id), small_contract, compression)
        for tick, source in enumerate(sources, 1):
            writer.append(change(make_step(tick, source)))
        return writer.finish(SUCCESS, {"frames_lost": 1})

    return make


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_what_is_written_is_read(write, make_step, make_info, compression):
    sources = [POLICY, HOLD, HUMAN] * 15  # more than one block of rows
    episode = read_episode(write(sources, compression=compression))
    assert episode.info == make_info()
    assert episode.outcome == SUCCESS
    assert episode.losses == {"frames_lost": 1}
    assert episode.num_steps == 45
    assert list(episode.sources) == sources
    for index, source in enumerate(sources):
        step = make_step(index + 1, source)
        np.testing.assert_array_equal(episode.images["front"][index], step.observation.images["front"])
        np.testing.assert_array_equal(episode.state["ee_pose"][index], step.observation.state["ee_pose"])
        np.testing.assert_array_equal(episode.executed_actions[index], step.executed_action)
        assert np.isnan(episode.policy_actions[index]).all() == (step.policy_action is None)
        assert np.isnan(episode.human_actions[index]).all() == (step.human_action is None)
        assert episode.reasons[index] == step.reason
    assert episode.ticks.tolist() == list(range(1, 46))
    assert episode.adapter_versions.tolist() == [2] * 45
    assert episode.stamps_ns["command"][0] == 100_000_007
    assert episode.stamps_ns["receive"][0] == 100_000_009
    assert episode.stamps_ns["chunk"][0] == episode.stamps_ns["observation"][0] == 100_000_000


def with_facts(step):
    """Tokens from the tick on but for tick 2, what is left of the task and its stages but for tick 3."""
    tokens = None if step.tick == 2 else np.arange(step.tick, step.tick + 7)
    known = {"task_remaining": step.tick / 4, "task_stages": {"grasped": step.tick > 1, "stacked": step.tick == 4}}
    return replace(step, policy_tokens=tokens, **({} if step.tick == 3 else known))


def test_optional_facts_are_read_as_they_were_written(write):
    path = write([POLICY] * 45, change=with_facts)
    episode = read_episode(path, images=False)
    expected = np.arange(1, 46)[:, None] + np.arange(7)
    expected[1] = -1
    assert (episode.policy_tokens.dtype, episode.policy_tokens.shape) == (np.int32, (45, 7))
    np.testing.assert_array_equal(episode.policy_tokens, expected)
    remaining = np.arange(1, 46, dtype=np.float32) / 4
    remaining[2] = np.nan
    assert episode.task_remaining.dtype == np.float32
    np.testing.assert_array_equal(episode.task_remaining, remaining)
    assert episode.stage_names == ("grasped", "stacked") and episode.task_stages.dtype == np.int8
    assert episode.task_stages[:5].tolist() == [[0, 0], [1, 0], [-1, -1], [1, 1], [1, 0]]
    assert episode.furthest_stage == "stacked"
    assert (episode.stages_at(1), episode.stages_at(2)) == ({"grasped": True, "stacked": False}, None)
    assert (episode.schema_version, episode.schema_minor) == (2, 3)
    assert verify_checksums(path) == []


@pytest.mark.parametrize("name", ["action/policy_tokens", "task/remaining", "task/stages"])
def test_checksums_cover_the_optional_facts(write, name):
    path = write(change=with_facts)
    with h5py.File(path, "r+") as f:
        f[name][0] = 3
    assert verify_checksums(path) == [name]
    with h5py.File(path, "r+") as f:
        del f[name]
    assert verify_checksums(path) == [name]


def test_a_file_of_minor_version_0_reads_without_them(write):
    path = write()
    with h5py.File(path, "r+") as f:
        del f.attrs["schema_minor"]
        sums = json.loads(f.attrs["checksums"])
        f.attrs["checksums"] = json.dumps(sums | {"attributes": attributes_checksum(plain_attributes(f))})
    episode = read_episode(path)
    assert (episode.schema_version, episode.schema_minor) == (2, 0)
    assert episode.policy_tokens is None and episode.task_remaining is None
    assert verify_checksums(path) == []


def test_a_later_minor_version_reads(write):
    path = write(change=with_facts)
    with h5py.File(path, "r+") as f:
        f.attrs["schema_minor"] = 7
        f["action/later"] = np.zeros(3)
    episode = read_episode(path)
    assert episode.schema_minor == 7 and episode.policy_tokens[0].tolist() == list(range(1, 8))


def test_a_file_of_version_1_reads_without_them():
    episode = read_episode(RECORDED, images=False)
    assert (episode.schema_version, episode.schema_minor) == (1, 0)
    assert episode.policy_tokens is None and episode.task_remaining is None
    assert (episode.task_stages, episode.stage_names, episode.furthest_stage) == (None, (), "")
    assert episode.stages_at(0) is None


def test_frames_of_single_steps(write, make_step):
    frames = read_frames(write([POLICY] * 5), [4, 0])
    np.testing.assert_array_equal(frames["front"][0], make_step(5).observation.images["front"])
    np.testing.assert_array_equal(frames["front"][1], make_step(1).observation.images["front"])


def _replace(f, name, **options):
    del f[name]
    f.create_dataset(name, **options)


def _link_to_other_file(f):
    other = f.filename + ".other"
    with h5py.File(other, "w") as target:
        target["stamps"] = np.arange(3, dtype="i8")
    del f["observation/stamp_ns"]
    f["observation/stamp_ns"] = h5py.ExternalLink(other, "stamps")


def _group_in_other_file(f):
    other = f.filename + ".other"
    with h5py.File(other, "w") as target:
        f.copy("control", target)
    del f["control"]
    f["control"] = h5py.ExternalLink(other, "control")


def _raw_data_in_other_file(f):
    del f["observation/stamp_ns"]
    other = Path(f.filename + ".other")
    other.write_bytes(bytes(24))
    f.create_dataset("observation/stamp_ns", (3,), "i8", external=[(other, 0, 24)])


def _virtual(f):
    del f["observation/stamp_ns"]
    layout = h5py.VirtualLayout((3,), "i8")
    layout[:] = h5py.VirtualSource(f.filename + ".other", "stamps", (3,))
    f.create_virtual_dataset("observation/stamp_ns", layout)


def _huge(f):
    f.attrs["num_steps"] = 9_000_000
    _replace(f, "observation/images/front", shape=(9_000_000, 4, 6, 3), dtype="u1", chunks=(1, 4, 6, 3))
    for name in ("action/executed", "action/policy", "action/human"):
        _replace(f, name, shape=(9_000_000, 7), dtype="f4", chunks=(256, 7))


def _references(f):
    _replace(f, "control/reason", shape=(3,), dtype=h5py.ref_dtype)
    f["control/reason"][:] = [f["action"].ref] * 3


DAMAGES = {
    "other schema": lambda f: f.attrs.__setitem__("schema", "somebody.else"),
    "newer schema": lambda f: f.attrs.modify("schema_version", 99),
    "no schema": lambda f: f.attrs.pop("schema"),
    "never finished": lambda f: f.attrs.pop("num_steps"),
    "too many steps": lambda f: f.attrs.modify("num_steps", 10**9),
    "negative steps": lambda f: f.attrs.modify("num_steps", -1),
    "steps of another count": lambda f: f.attrs.modify("num_steps", 2),
    "missing dataset": lambda f: f.pop("control/source"),
    "missing attribute": lambda f: f.attrs.pop("outcome"),
    "group instead of a dataset": lambda f: (f.pop("control/tick"), f.create_group("control/tick")),
    "contract without meaning": lambda f: f.attrs.__setitem__("contract", '{"version": 1}'),
    "contract that is no JSON": lambda f: f.attrs.__setitem__("contract", "{"),
    "unknown outcome": lambda f: f.attrs.__setitem__("outcome", "DRAW"),
    "not finite": lambda f: f["action/executed"].write_direct(np.full((3, 7), np.inf, "f4")),
    "ticks that go back": lambda f: f["control/tick"].write_direct(np.array([3, 2, 1], "i8")),
    "source without a name": lambda f: f["control/source"].write_direct(np.array([9, 0, 0], "u1")),
    "wrong type": lambda f: _replace(f, "control/tick", data=np.arange(3.0)),
    "tokens of another shape": lambda f: f.__setitem__("action/policy_tokens", np.zeros((3, 6), "i4")),
    "tokens of another type": lambda f: f.__setitem__("action/policy_tokens", np.zeros((3, 7), "f4")),
    "progress of another length": lambda f: f.__setitem__("task/remaining", np.zeros(2, "f4")),
    "progress in another file": lambda f: f.__setitem__("task", h5py.ExternalLink("other.h5", "task")),
    "progress behind a soft link": lambda f: (
        f.create_group("task"),
        f.__setitem__("task/remaining", h5py.SoftLink("/observation/stamp_ns")),
    ),
    "task that is no group": lambda f: f.__setitem__("task", np.zeros(3, "f4")),
    "minor version without meaning": lambda f: f.attrs.__setitem__("schema_minor", "one"),
    "soft link": lambda f: (
        f.pop("control/tick"),
        f.__setitem__("control/tick", h5py.SoftLink("/observation/stamp_ns")),
    ),
    "external link": _link_to_other_file,
    "external group": _group_in_other_file,
    "external raw data": _raw_data_in_other_file,
    "virtual dataset": _virtual,
    "huge shape": _huge,
    "object references": _references,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_file_gives_a_clear_error(write, damage):
    path = write()
    with h5py.File(path, "r+") as f:
        damage(f)
    with pytest.raises(EpisodeFormatError, match=r"e1\.h5"):
        read_episode(path)


def test_a_newer_schema_asks_for_an_update(write):
    path = write()
    with h5py.File(path, "r+") as f:
        f.attrs["schema_version"] = 99
    with pytest.raises(EpisodeFormatError, match=r"version 99 is newer than this software reads .*update apo"):
        read_episode(path)


def test_truncated_file_never_reads(write):
    path = write()
    content = path.read_bytes()
    for size in [*range(0, len(content), max(1, len(content) // 40)), len(content) - 1]:
        path.write_bytes(content[:size])
        with pytest.raises(EpisodeFormatError):
            read_episode(path)


def test_flipped_bits_read_or_raise_the_one_error(write):
    path = write()
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(0, len(content), 4):
            damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read_episode(path)
        except EpisodeFormatError:
            rejected += 1
    assert rejected


@pytest.mark.parametrize("content", [b"", b"text", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_other_files_are_rejected(tmp_path, content):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(EpisodeFormatError):
        read_episode(path)
    with pytest.raises(EpisodeFormatError):
        read_frames(path, [0])


def test_missing_file_is_the_same_error(tmp_path):
    with pytest.raises(EpisodeFormatError):
        read_episode(tmp_path / "absent.h5")


def test_frames_of_one_camera_are_read_alone(takeovers):
    path = takeovers / "lift-10003.h5"
    every, one = read_frames(path, [0, 5]), read_frames(path, [0, 5], ["wrist"])
    assert list(one) == ["wrist"] and sorted(every) == ["agentview", "wrist"]
    np.testing.assert_array_equal(one["wrist"], every["wrist"])


def test_marks_are_of_the_finished_files_only(tmp_path):
    for name in ("b.h5", "a.h5", "c.h5.partial"):
        (tmp_path / name).write_bytes(b"123")
        os.utime(tmp_path / name, ns=(7, 5))
    (tmp_path / "d.h5").mkdir()
    (tmp_path / "e.h5").symlink_to(tmp_path / "gone")
    assert episode_marks(tmp_path) == [("a.h5", (3, 5)), ("b.h5", (3, 5))]
