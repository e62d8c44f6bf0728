"""The recorder's process takes care of finished episodes, whatever happens to the process that does it."""

import os
import signal
import subprocess
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticStatus
from node_command import node_command
from recorder_cell import WAIT_S

from apo_episodes.remote.store import RemoteStore

NAME = "recorder: background"


def shown(cell, text: str) -> dict[str, str]:
    """The values of the process's status, once its message has this text."""
    cell.spin_until(lambda: NAME in cell.parts and text in cell.parts[NAME].message, f"'{text}' in the diagnostics")
    return {pair.key: pair.value for pair in cell.parts[NAME].values}


def record(cell, tick: int) -> None:
    cell.start()
    cell.tick(tick)
    assert cell.end(until=tick).accepted


def test_episodes_reach_the_store_through_kills(launch, cell, episodes, tmp_path):
    store = str(tmp_path / "store")
    process = launch(upload_url=store, upload_robot="arm1", background_interval_s=1.0)
    record(cell, 1)
    values = shown(cell, "episodes: 1 uploaded, 0 waiting")
    assert cell.parts[NAME].level == DiagnosticStatus.OK
    os.kill(int(values["pid"]), signal.SIGKILL)
    shown(cell, "ended with signal SIGKILL")
    assert cell.parts[NAME].level == DiagnosticStatus.WARN
    record(cell, 2)
    values = shown(cell, "episodes: 2 uploaded, 0 waiting")
    process.kill()
    process.wait(WAIT_S)
    cell.spin_until(lambda: not Path(f"/proc/{values['pid']}/exe").exists(), "the end of the child")
    ids = [episode.info.episode_id for episode in episodes()]
    assert list(RemoteStore(store).episodes()) == [("arm1", episode_id) for episode_id in ids]


def test_images_are_recorded_lossless_and_made_video_where_that_is_smaller(launch, cell, episodes):
    launch(image_compression="video", video_delay_s=0.0, background_interval_s=1.0)
    record(cell, 1)
    values = shown(cell, "its video is not smaller")  # one frame of noise
    assert (values["video"], values["lossless"], values["kept_lossless"]) == ("0", "0", "1")
    assert cell.parts[NAME].level == DiagnosticStatus.WARN
    assert [episode.image_compression for episode in episodes()] == ["zstd"]


def test_parameters_that_cannot_work_keep_the_recorder_from_starting(ros_domain, tmp_path, small_contract):
    (tmp_path / "contract.yaml").write_text(small_contract.json)
    parameters = {"contract_file": tmp_path / "contract.yaml", "episode_dir": tmp_path, "robot": "'lab left'"}
    command = node_command("apo_recorder.recorder_node", {**parameters, "upload_url": "nowhere://store"})
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "config/recorder.yaml" in done.stderr
    assert "upload_url = 'nowhere://store' has the scheme 'nowhere', which fsspec does not know" in done.stderr
    assert "upload_robot = '' takes 'lab left', which must have" in done.stderr
