import h5py
import numpy as np
import pytest

from apo_core.errors import EpisodeFormatError
from apo_episodes.hdf5.checked_file import CameraFrames, read_head
from apo_episodes.hdf5.checksums import plain_attributes
from apo_episodes.hdf5.video_file import Psnr, VideoFile
from apo_episodes.reader import verify_checksums


def test_psnr_of_known_differences():
    black = np.zeros((2, 4, 4, 3), np.uint8)
    psnr = Psnr()
    psnr.add(black, black)
    assert (psnr.mean_db, psnr.worst_db) == (99.0, 99.0)
    psnr.add(black[:1] + 255, black[:1])
    psnr.add(black[:1], black[:1] + 255)
    # mean squared errors 0, 0, 255^2 and 255^2
    assert psnr.mean_db == pytest.approx(3.0103, abs=1e-4)
    assert psnr.worst_db == pytest.approx(0.0, abs=1e-9)
    close = Psnr()
    close.add(black + 1, black)
    assert close.mean_db == pytest.approx(48.1308, abs=1e-4)


def test_the_copy_has_all_facts_and_the_images_as_video(write_film, tmp_path):
    source, target = write_film("PPHPO"), tmp_path / "video.h5"
    calls = []
    with h5py.File(source) as f:
        checked, _, steps, contract = read_head(source, f)
        file = VideoFile(checked, target)
        file.copy_facts(["front", "grey"])
        for spec in [spec for spec in contract.images if spec.name != "depth"]:
            frames = CameraFrames(checked, spec, steps)
            psnr = file.add_camera(spec, frames, steps, 20, 2, lambda: calls.append(len(calls)))
            assert psnr.mean_db > 38
        file.finish({"crf": 20})
    assert calls == [0, 1, 2, 3, 4, 5]
    assert verify_checksums(target) == []
    with h5py.File(source) as old, h5py.File(target) as new:
        assert new["observation/video/front/first"][:].tolist() == [0, 0, 2, 2, 4]
        ours, theirs = plain_attributes(new), plain_attributes(old)
        changed = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
        assert changed == {"image_compression", "video", "checksums"}
        assert (ours["image_compression"], ours["video"]) == ("video", '{"codec": "h264", "crf": 20}')
        assert {name: new.attrs.get_id(name).dtype for name in theirs if name not in changed} == {
            name: old.attrs.get_id(name).dtype for name in theirs if name not in changed
        }
        for name in ("observation/images/depth", "control/reason", "control/source", "task/stages"):
            assert (new[name].dtype, new[name].chunks) == (old[name].dtype, old[name].chunks)
            np.testing.assert_array_equal(new[name][()], old[name][()])
        assert "observation/images/front" not in new


@pytest.mark.parametrize("name", ["action/executed", "observation/images/grey"])
def test_a_source_that_has_changed_is_rejected(write_film, tmp_path, name):
    source = write_film("PPHPO")
    with h5py.File(source, "r+") as f:
        f[name][0] = 0
    with h5py.File(source) as f:
        checked, _, steps, contract = read_head(source, f)
        file = VideoFile(checked, tmp_path / "video.h5")
        with pytest.raises(EpisodeFormatError, match=f"e1.h5: dataset '{name}' is not what was recorded"):
            file.copy_facts(["front", "grey"])
            for spec in [spec for spec in contract.images if spec.name != "depth"]:
                file.add_camera(spec, CameraFrames(checked, spec, steps), steps, 20, 2, lambda: None)
        file.close()
