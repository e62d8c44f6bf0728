"""Twenty robots, one store and one machine that trains: what a round asks of the store, counted."""

import math
from collections import Counter
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from apo_episodes.annotation import Annotation, annotate
from apo_episodes.reader import read_episode
from apo_episodes.remote import push as pushing
from apo_episodes.remote.pull import pull
from apo_episodes.remote.push import push
from apo_episodes.remote.store import RemoteStore

ROBOTS = [f"arm{number}" for number in range(20)]
CHUNK_BYTES = 20_000
LISTED = 1000  # names of a page, as S3 lists


class CountedFileSystem(MemoryFileSystem):
    """Counts the requests that an object store would get, and the bytes of content."""

    protocol = "counted"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    counts: ClassVar[Counter] = Counter()
    _depth = 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("counted://", "memory://"))

    def _counted(self, kind, access, size=len, requests=lambda result: 1):
        outermost, type(self)._depth = self._depth == 0, self._depth + 1
        result = b""
        try:
            result = access()
            return result
        finally:
            type(self)._depth -= 1
            if outermost:
                self.counts[kind] += requests(result)
                self.counts[f"{kind} bytes"] += size(result)

    def cat_file(self, path, **options):
        return self._counted("get", lambda: super(CountedFileSystem, self).cat_file(path, **options))

    def info(self, path, **options):
        return self._counted("head", lambda: super(CountedFileSystem, self).info(path, **options), lambda result: 0)

    def pipe_file(self, path, value, **options):
        write = super().pipe_file
        return self._counted("put", lambda: write(path, value, **options), lambda result: len(value))

    def find(self, path, **options):
        return self._counted(
            "list",
            lambda: super(CountedFileSystem, self).find(path, **options),
            lambda result: 0,
            lambda result: max(1, math.ceil(len(result) / LISTED)),
        )


@pytest.fixture
def store(tmp_path, monkeypatch) -> RemoteStore:
    fsspec.register_implementation("counted", CountedFileSystem, clobber=True)
    CountedFileSystem.store.clear()
    CountedFileSystem.counts.clear()
    monkeypatch.setattr(pushing, "CHUNK_BYTES", CHUNK_BYTES)
    return RemoteStore("counted://bucket/lift")


def fail(what, error) -> None:
    """Nothing is left out."""
    raise error


def counted(work) -> Counter:
    """What a piece of work asked of the store."""
    before = CountedFileSystem.counts.copy()
    work()
    return +(CountedFileSystem.counts - before)


def test_a_round_costs_what_is_new_and_not_what_is_there(store, tmp_path, write_episode, impatient):
    copy, total = tmp_path / "copy", 0

    def push_all() -> None:
        for robot in ROBOTS:
            push(sorted((tmp_path / robot).glob("*.h5")), store, robot, impatient, lambda done: None, fail)

    def pull_all() -> None:
        pull(store, copy, (), impatient, lambda done: None, fail)

    for number, recording in enumerate((ROBOTS, ROBOTS[:5], (), ROBOTS)):
        files = [
            write_episode("PPHP", episode_id=f"{robot}-{number}", instruction=robot, folder=tmp_path / robot)
            for robot in recording
        ]
        for robot in ROBOTS:
            (tmp_path / robot).mkdir(exist_ok=True)
        new, total = len(files), total + len(files)
        sizes = [path.stat().st_size for path in files]
        chunks = sum(math.ceil(size / CHUNK_BYTES) for size in sizes)
        pushed, pulled = counted(push_all), counted(pull_all)
        # a look at the record, then the chunks and the record
        assert (pushed["get"], pushed["list"]) == (new, 0)
        assert pushed["head"] == chunks and new <= pushed["put"] <= chunks + new
        assert pushed["put bytes"] <= sum(sizes) + 1000 * new
        # the records and the chunks
        assert (pulled["get"], pulled["head"], pulled["put"]) == (chunks + new, 0, 0)
        assert sum(sizes) <= pulled["get bytes"] <= sum(sizes) + 1000 * new
        assert pulled["list"] == 1
    assert len(list(copy.glob("*.h5"))) == total == 45
    assert counted(push_all) == {} and counted(pull_all) == {"list": 1}


def test_a_corrected_outcome_costs_its_record(store, tmp_path, write_episode, impatient):
    path, copy = write_episode(), tmp_path / "copy"
    push([path], store, "arm0", impatient, lambda done: None, fail)
    pull(store, copy, (), impatient, lambda done: None, fail)
    annotate(path, "e1", Annotation("FAILURE", "slipped", "ann", "2026-02-01T00:00:00+00:00"))
    push([path], store, "arm0", impatient, lambda done: None, fail)
    found = counted(lambda: pull(store, copy, (), impatient, lambda done: None, fail))
    assert (found["list"], found["get"]) == (1, 1)
    assert read_episode(copy / path.name).outcome.outcome == "FAILURE"


def test_what_is_missing_here_is_pulled_again(store, tmp_path, write_episode, impatient):
    path, copy = write_episode(), tmp_path / "copy"
    push([path], store, "arm0", impatient, lambda done: None, fail)
    pull(store, copy, (), impatient, lambda done: None, fail)
    (copy / path.name).unlink()
    assert pull(store, copy, (), impatient, lambda done: None, fail) == 1
    assert (copy / path.name).read_bytes() == path.read_bytes()


def test_the_listing_grows_by_a_request_for_a_thousand_episodes(store):
    for number in range(2001):
        store.put_document(f"episodes/arm{number % 20}/e{number}.json", b"{}")
    assert counted(lambda: store.states())["list"] == 3
    assert counted(lambda: store.states(["arm7"])) == {"list": 1}
    assert len(store.states(["arm7"])) == 100
