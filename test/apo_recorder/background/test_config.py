"""Which parameters of the background process are rejected, with what to change."""

import sys

import pytest

from apo_recorder.background.config import BackgroundConfig
from apo_recorder.background.job import Job, UploadJob, VideoJob


def faults(robot="", machine="cell-pc", with_video=False, **values) -> list[str]:
    return BackgroundConfig(**values).faults(robot, machine, with_video)


def test_without_a_url_nothing_is_checked():
    assert faults(robot="lab left", upload_robot="a/b", upload_options="=") == []


@pytest.mark.parametrize("url", ["runs/store", "/mnt/store", "file:///mnt/store", "memory://store"])
def test_urls_of_what_is_installed_are_accepted(url):
    assert faults(upload_url=url) == []


def test_the_name_is_that_of_the_parameter_the_robot_or_the_machine():
    assert BackgroundConfig(upload_robot="a").robot_name("b", "c") == "a"
    assert BackgroundConfig().robot_name("b", "c") == "b"
    assert BackgroundConfig().robot_name("", "c") == "c"


def test_every_fault_names_parameter_value_and_limit():
    found = faults(upload_url="s3 ://b", upload_robot="arm/1", upload_options="anon=true key")
    assert found == [
        "upload_url = 's3 ://b' must have no spaces and at least one character",
        "upload_robot = 'arm/1' must have 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit",
        "upload_options = 'anon=true key': key: must be NAME=VALUE",
    ]


def test_a_tag_that_is_no_name_asks_for_a_name():
    assert faults(robot="lab left", upload_url="store") == [
        "upload_robot = '' takes 'lab left', which must have 1 to 128 letters, digits, '.', '_' or '-', the first a "
        "letter or digit"
    ]


def test_video_without_its_package_is_rejected_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert faults() == []
    (fault,) = faults(with_video=True)
    assert fault.startswith("image_compression = 'video': ") and "-r requirements/video.in" in fault


def test_the_job_has_what_is_wanted():
    usual = BackgroundConfig()
    assert usual.job("runs/episodes", "arm1", "cell-pc", with_video=False) is None
    video = VideoJob(600.0, 20, 10, 38.0, 7.0)
    assert usual.job("runs/episodes", "", "cell-pc", with_video=True) == Job("runs/episodes", 10.0, None, video)
    uploads = BackgroundConfig(upload_url="s3://b", upload_options="anon=true", background_interval_s=3.0)
    upload = UploadJob("s3://b", "arm1", {"anon": "true"})
    assert uploads.job("runs/episodes", "arm1", "cell-pc", with_video=False) == Job("runs/episodes", 3.0, upload)
