"""The jobs of a reproduction: plan, order, time left."""

import pytest

from apo_experiments.reproduce.jobs import Job, Progress, plan_text, run_jobs


def job(name: str, **amounts: int) -> Job:
    return Job(name, lambda: None, 100, **amounts)


def test_a_plan_has_a_line_for_each_part_and_task():
    jobs = [
        job("table1/Lift/interactions", recorded=20),
        job("table1/Lift/compare", evaluated=400, train_steps=840),
        job("table1/Stack/demonstrations", demonstrated=8),
    ]
    assert plan_text(jobs).splitlines() == [
        "table1/Lift: 20 episodes with the operator, 0 demonstrations, 400 evaluation episodes, 840 training steps; "
        "about 0.3 h, 23 MB",
        "table1/Stack: 0 episodes with the operator, 8 demonstrations, 0 evaluation episodes, 0 training steps; "
        "about 0.0 h, 9 MB",
        "in all: 20 episodes with the operator, 8 demonstrations, 400 evaluation episodes, 840 training steps; "
        "about 0.3 h, 32 MB",
    ]


def test_the_time_left_follows_what_jobs_have_taken():
    first, second, third = (job(name, train_steps=100) for name in "abc")
    progress = Progress([first, second, third])
    assert progress.left_s == pytest.approx(150.0)
    progress.done(first, 100.0)
    assert progress.left_s == pytest.approx(200.0)
    # what was kept from before takes no time, and is no measure of what is left
    progress.done(second, 0.1)
    assert progress.left_s == pytest.approx(100.0)
    progress.done(third, 100.0)
    assert progress.left_s == 0.0


def test_jobs_run_in_order_and_are_reported():
    ran, notes = [], []
    jobs = [Job(name, lambda name=name: ran.append(name), train_steps=60) for name in ("one", "two")]
    clock = iter([0.0, 60.0, 60.0, 60.0, 120.0, 120.0])
    run_jobs(jobs, notes.append, lambda: next(clock))
    assert ran == ["one", "two"]
    assert notes == [
        "[1/2] one",
        "[1/2] one: 60 s; about 1 min left",
        "[2/2] two",
        "[2/2] two: 60 s; about 0 min left",
    ]


def test_a_job_that_fails_ends_the_run():
    def fail() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_jobs([Job("one", fail), Job("two", pytest.fail)], [].append, lambda: 0.0)
