"""The line that the background process reads."""

from apo_recorder.background.job import Job


def test_a_job_comes_back_from_its_line():
    job = Job("runs/episodes", "s3://b/é", "arm1", 10.0, {"endpoint_url": "http://host:9000"})
    assert "\n" not in job.to_json()
    assert Job.from_json(job.to_json()) == job
