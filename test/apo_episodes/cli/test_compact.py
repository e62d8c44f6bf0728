import os
import re
import subprocess
import sys
import threading

import h5py
import pytest

from apo_episodes.cli.cli import main
from apo_episodes.reader import read_episode


@pytest.fixture
def run(capsys):
    """(arguments) -> (exit status, stdout, stderr)."""

    def call(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_a_folder_is_compacted_once(run, write_film):
    folder = write_film("PPHPO").parent
    write_film("PPHPO", episode_id="e2", compression="gzip")
    write_film("PP", episode_id="e3", compression="jpeg")
    status, out, err = run("compact", folder)
    lines = out.splitlines()
    assert (status, err, len(lines)) == (0, "", 4)
    for line, name in zip(lines, ("e1.h5", "e2.h5"), strict=False):
        assert re.fullmatch(rf"{folder / name}: \d\.\d -> \d\.\d MB, front \d\d\.\d dB, grey \d\d\.\d dB", line)
    assert lines[2] == f"{folder / 'e3.h5'}: stays as it is: its images are jpeg already"
    assert lines[3].startswith("2 of 3 episodes compacted, ")
    assert run("validate", folder)[0] == 0
    status, out, _ = run("compact", folder)
    assert status == 0 and out.splitlines()[-1] == "0 of 3 episodes compacted, 0.0 -> 0.0 MB"


def test_every_tool_reads_a_compacted_episode(run, write_film, tmp_path):
    path = write_film()
    assert run("compact", path)[0] == 0
    sheet, video = tmp_path / "sheet.png", tmp_path / "video.mp4"
    for arguments in (
        ["ls", path],
        ["ledger", path],
        ["show", path],
        ["validate", path],
        ["relabel", path, "--output", tmp_path / "labels.json"],
        ["stats", path],
        ["view", path, "--sheet", sheet, "--video", video],
        ["split", path, "--at", "10", "--output", tmp_path / "parts"],
        ["merge", path, "--output", tmp_path / "merged"],
        ["filter", path, "--outcome", "SUCCESS"],
        ["export", "robomimic", path, "--output", tmp_path / "robomimic.hdf5"],
        ["export", "apo", path, "--output", tmp_path / "apo"],
        ["push", path, "--to", tmp_path / "store"],
        ["pull", tmp_path / "store", "--output", tmp_path / "pulled"],
    ):
        status, _, err = run(*arguments)
        assert (arguments[0], status, err) == (arguments[0], 0, "")
    frames = read_episode(path).images["front"]
    part = read_episode(tmp_path / "parts" / "e1-part2.h5")
    assert part.image_compression == "zstd" and (part.images["front"] == frames[10:]).all()
    with h5py.File(tmp_path / "robomimic.hdf5") as f:
        assert (f["data/demo_0/obs/front_image"][()] == frames).all()
    assert read_episode(tmp_path / "pulled" / "e1.h5").image_compression == "video"


def test_one_bad_file_does_not_keep_the_others(run, write_film):
    bad, good = write_film("PPHPO"), write_film("PPHPO", episode_id="e2")
    with h5py.File(bad, "r+") as f:
        f["action/executed"][0] = 0.5
    status, out, err = run("compact", bad, good)
    assert status == 2 and "1 of 2 episodes compacted" in out
    assert err == f"apo episodes compact: {bad}: dataset 'action/executed' is not what was recorded\n"


def test_options_choose_quality_and_time(run, write_film):
    path = write_film("PPHPO")
    original = path.parent / "originals" / "e1.h5"
    assert "the floor is 60 (--floor, --crf)" in run("compact", path, "--floor", "60")[1]
    assert (
        " stays: compacted 0.0 days ago\n" in run("compact", path, "--crf", "15", "--gop", "2", "--keep-days", "1")[1]
    )
    with h5py.File(path) as f:
        assert f["observation/video/front/first"][:].tolist() == [0, 0, 2, 2, 4]
    assert original.exists()
    assert f"{original}: removed\n" in run("compact", path, "--keep-days", "0")[1]
    assert not original.exists() and read_episode(path).num_steps == 5


@pytest.mark.parametrize("arguments", [["--crf", "0"], ["--crf", "52"], ["--gop", "0"], ["--gop", "61"]])
def test_values_out_of_range_end_with_2(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["compact", "a", *arguments])
    assert exit_.value.code == 2


def test_without_the_package_it_names_what_to_install(run, write_film, monkeypatch):
    path = write_film("PPHPO")
    monkeypatch.setitem(sys.modules, "av", None)
    status, _, err = run("compact", path)
    assert status == 2 and "'av'" in err and "-r requirements/video.in" in err


def test_only_the_work_has_a_lower_priority(run, write_film, monkeypatch):
    seen = []
    from apo_episodes.cli import compact

    def watched(*arguments):
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return original(*arguments)

    original = compact.compact_episode
    monkeypatch.setattr(compact, "compact_episode", watched)
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert run("compact", write_film("PPHPO"))[0] == 0
    assert seen == [19] and os.getpriority(os.PRIO_PROCESS, 0) == before


_INTERRUPTED = """
import os, signal, sys
from apo_episodes import compaction
from apo_episodes.cli.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the runner of the tests ignores
path = sys.argv[1]
def add_camera(self, spec, frames, steps, crf, gop, go_on):
    os.kill(os.getpid(), signal.SIGINT)
    while True: go_on()
compaction.VideoFile.add_camera = add_camera
sys.exit(main(["compact", path]))
"""


def test_an_interrupt_leaves_the_file_as_it_was(write_film):
    path = write_film("PPHPO")
    before = path.read_bytes()
    command = [sys.executable, "-c", _INTERRUPTED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (130, "")
    assert path.read_bytes() == before and sorted(p.name for p in path.parent.iterdir()) == [".partial", "e1.h5"]
