import h5py
import numpy as np
import pytest

from apo_core.errors import ConfigError, EpisodeFormatError
from apo_episodes.hdf5.checked_file import CameraFrames, CheckedFile, format_errors, open_episode, read_head


@pytest.fixture
def checked(tmp_path):
    """A checked file with the datasets x, of 3 numbers, and texts."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f["group/x"] = np.arange(3, dtype="i8")
        f.create_dataset("texts", data=np.array([b"a", "\u00e4".encode()], h5py.string_dtype("utf-8", 4)))
        f["soft"] = h5py.SoftLink("/group/x")
        f["outside"] = h5py.ExternalLink("other.h5", "/x")
        f.create_dataset("sparse", (3, 1000), "i8", chunks=(1, 1000))
        f.create_dataset("huge", (10**9, 10**3), "f8", chunks=(1, 1000))
    with h5py.File(path, "r") as f:
        yield CheckedFile(path, f)


def test_sound_parts_are_handed_out(checked):
    assert checked.column("group/x", (3,), "i8").tolist() == [0, 1, 2]
    assert checked.texts("texts", 2) == ("a", "\u00e4")
    assert checked.optional("group/x", (3,), "i8").tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["missing", "group/missing", "missing/x"])
def test_what_is_optional_may_be_missing(checked, name):
    assert checked.optional(name, (3,), "i8") is None


@pytest.mark.parametrize(
    ("name", "shape", "dtype", "message"),
    [
        ("missing", (3,), "i8", "is missing or is not stored in the file itself"),
        ("soft", (3,), "i8", "is missing or is not stored in the file itself"),
        ("outside", (3,), "i8", "is missing or is not stored in the file itself"),
        ("group", (3,), "i8", "is not a dataset"),
        ("group/x", (4,), "i8", r"is int64 \(3,\), expected i8 \(4,\)"),
        ("group/x", (3,), "f8", r"is int64 \(3,\), expected f8 \(3,\)"),
        ("group/x", (3,), "str", "expected str"),
        ("texts", (2,), "i8", "expected i8"),
        ("sparse", (3, 1000), "i8", "has fewer chunks than its shape"),
        ("huge", (10**9, 10**3), "f8", "claims 8000000000000 bytes in a file of"),
    ],
)
def test_other_parts_are_rejected_with_the_path(checked, name, shape, dtype, message):
    with pytest.raises(EpisodeFormatError, match=rf"a\.h5: .*{message}"):
        checked.column(name, shape, dtype)


@pytest.mark.parametrize("name", ["soft", "outside"])
def test_an_optional_part_elsewhere_is_rejected(checked, name):
    with pytest.raises(EpisodeFormatError, match="is not stored in the file itself"):
        checked.optional(name, (3,), "i8")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none", "jpeg"])
def test_frames_are_read_in_any_order(write, make_step, compression):
    path = write("PPPP", compression=compression)

    def read(path, f):
        checked, _, steps, contract = read_head(path, f)
        frames = CameraFrames(checked, contract.images[0], steps)
        with pytest.raises(IndexError, match=r"step 4 must be 0\.\.3"):
            frames.stored(4)
        return frames.read([3, 0, 3])

    frames = open_episode(path, read)
    expected = np.stack([make_step(step + 1).observation.images["front"] for step in (3, 0, 3)])
    if compression == "jpeg":  # random pixels are far from what JPEG keeps
        np.testing.assert_array_equal(frames[0], frames[2])
        assert frames.shape == expected.shape
    else:
        np.testing.assert_array_equal(frames, expected)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (EpisodeFormatError("has no step"), "^a.h5: has no step$"),
        (EpisodeFormatError("a.h5: has no step"), "^a.h5: has no step$"),
        (ConfigError("contract", ["rate_hz is missing"]), "^a.h5: its contract is not usable: "),
        (RuntimeError("unknown"), r"^a.h5: not a readable episode file \(RuntimeError: unknown\)$"),
    ],
)
def test_every_error_names_the_file(error, message):
    with pytest.raises(EpisodeFormatError, match=message), format_errors("a.h5"):
        raise error
