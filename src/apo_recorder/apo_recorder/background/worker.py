"""The program of the child: it takes a job from its input and prints its progress until it is killed."""

from __future__ import annotations

import signal
import sys
import time

from apo_core.system.parent_death import end_with_parent_if_asked
from apo_core.system.scheduling import give_way
from apo_recorder.background.job import Job
from apo_recorder.background.progress import Progress


def main() -> None:
    """Works without an end; an error ends it, and the recorder starts it again."""
    # whatever it waits for: nothing is lost with it, and the next one goes on
    end_with_parent_if_asked(signal.SIGKILL)
    give_way()
    from apo_recorder.background.look import Look  # what takes long to load is loaded at low priority

    job = Job.from_json(sys.stdin.readline())
    look = Look(job, _print)
    while True:
        look()
        time.sleep(job.interval_s)


def _print(progress: Progress) -> None:
    print(progress.to_json(), flush=True)


if __name__ == "__main__":
    main()
