"""The line that the background process reads."""

import pytest

from apo_recorder.background.job import Job, UploadJob, VideoJob


@pytest.mark.parametrize("upload", [None, UploadJob("s3://b/é", "arm1", {"endpoint_url": "http://host:9000"})])
@pytest.mark.parametrize("video", [None, VideoJob(600.0, 20, 10, 38.0, -1.0)])
def test_a_job_comes_back_from_its_line(upload, video):
    job = Job("runs/episodes", 10.0, upload, video)
    assert "\n" not in job.to_json()
    assert Job.from_json(job.to_json()) == job
