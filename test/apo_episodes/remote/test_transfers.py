"""Push and pull: nothing lost, nothing twice, whatever fails in between."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from apo_core.errors import EpisodeToolError
from apo_core.remote.back_off import BackOff
from apo_core.remote.chunk_store import RemoteError
from apo_core.remote.patience import Patience
from apo_episodes.annotation import Annotation, annotate, annotation_path
from apo_episodes.cli.cli import main
from apo_episodes.compaction import CompactSettings, compact_episode
from apo_episodes.reader import read_episode
from apo_episodes.remote import push as pushing
from apo_episodes.remote.pull import pull
from apo_episodes.remote.push import push
from apo_episodes.remote.store import RemoteStore

TAKEOVERS = Path(__file__).parents[2] / "data" / "takeovers"


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks a file."""
    monkeypatch.setattr(pushing, "CHUNK_BYTES", 20_000)


def ignore(done) -> None:
    """Of what is done."""


def fail(what, error) -> None:
    """Nothing is left out."""
    raise error


def wait_for(condition) -> None:
    """Until it holds, at most a minute."""
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def chunks(root: Path) -> list[Path]:
    return sorted((root / "chunks").glob("*/*"))


class Counting(RemoteStore):
    """Counts the chunks that are written; fails after `most` of them."""

    def __init__(self, url, most=10**9):
        super().__init__(url)
        self.written, self.most = 0, most

    def put_chunk(self, data):
        if self.written >= self.most:
            raise RemoteError("the network is down")
        self.written += 1
        return super().put_chunk(data)


def test_what_is_pushed_is_pulled(folder, tmp_path, impatient):
    store, seen = RemoteStore(str(tmp_path / "store")), []
    assert push(sorted(folder.glob("*.h5")), store, "arm1", impatient, seen.append, fail) == 2
    assert all(done.is_new and done.sent_bytes == done.path.stat().st_size for done in seen)
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 2
    assert names(tmp_path / "copy") == names(folder)
    for name in names(folder):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 0


def test_a_second_push_sends_nothing_even_without_its_journal(folder, tmp_path, impatient):
    store = Counting(str(tmp_path / "store"))
    files = sorted(folder.glob("*.h5"))
    push(files, store, "arm1", impatient, ignore, fail)
    written = store.written
    assert written == len(chunks(tmp_path / "store")) > 2
    assert push(files, store, "arm1", impatient, ignore, fail) == 0
    for journal in (folder / ".upload").iterdir():
        journal.write_text('{"file": "cut')
    seen = []
    assert push(files, store, "arm1", impatient, seen.append, fail) == 0
    assert store.written == written and all(done.sent_bytes == 0 for done in seen)


def test_a_compacted_episode_is_the_one_that_was_pushed(write_film, tmp_path, impatient):
    path, store, now = write_film("PPHPO"), Counting(str(tmp_path / "store")), datetime(2026, 3, 1, tzinfo=UTC)
    assert push([path], store, "arm1", impatient, ignore, fail) == 1
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 1
    written, seen = store.written, []
    assert compact_episode(path, CompactSettings(), now).is_new
    annotate(path, "e1", Annotation("FAILURE", "slipped", "ann", "2026-02-01T00:00:00+00:00"))
    assert push([path], store, "arm1", impatient, seen.append, fail) == 0
    assert store.written == written and seen == [pushing.Pushed(path, False, 0, path.stat().st_size)]
    assert compact_episode(tmp_path / "copy" / "e1.h5", CompactSettings(), now).is_new
    assert pull(store, tmp_path / "copy", (), impatient, ignore, fail) == 0
    assert read_episode(tmp_path / "copy" / "e1.h5").outcome.outcome == "FAILURE"


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_push_goes_on_where_it_failed(folder, tmp_path, impatient, most):
    files = sorted(folder.glob("*.h5"))
    broken = Counting(str(tmp_path / "store"), most)
    with pytest.raises(RemoteError, match="the network is down"):
        push(files, broken, "arm1", impatient, ignore, fail)
    assert list(broken.episodes()) == []  # no record before its chunks
    whole = Counting(str(tmp_path / "store"))
    push(files, whole, "arm1", impatient, ignore, fail)
    assert broken.written == most and whole.written + most == len(chunks(tmp_path / "store"))


def test_an_annotation_travels_and_a_local_one_stays(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, ignore, fail)
    assert main(["annotate", str(first), "--outcome", "FAILURE", "--author", "ann"]) == 0
    assert push([first], store, "arm1", impatient, ignore, fail) == 0
    pull(store, tmp_path / "copy", (), impatient, ignore, fail)
    beside = annotation_path(tmp_path / "copy" / first.name)
    assert beside.read_text() == annotation_path(first).read_text()
    beside.write_text("{}")
    seen = []
    pull(store, tmp_path / "copy", (), impatient, seen.append, fail)
    assert seen[0].has_other_annotation and beside.read_text() == "{}"


def test_damaged_content_leaves_no_file(folder, tmp_path, impatient):
    store = RemoteStore(str(tmp_path / "store"))
    push(sorted(folder.glob("*.h5"))[:1], store, "arm1", impatient, ignore, fail)
    chunks(tmp_path / "store")[0].write_bytes(b"other")
    with pytest.raises(RemoteError, match="bytes of another content"):
        pull(store, tmp_path / "copy", (), impatient, ignore, fail)
    assert names(tmp_path / "copy") == []


def test_damaged_content_is_read_once_and_stops_no_other_episode(folder, tmp_path):
    store = RemoteStore(str(tmp_path / "store"))
    tries = []
    patient = Patience(60.0, iter(range(1000)).__next__, tries.append, tries.append)
    push(sorted(folder.glob("*.h5")), store, "arm1", patient, ignore, fail)
    robot, episode_id = next(store.episodes())
    damaged = store.record(robot, episode_id).chunks[0].sha256
    (tmp_path / "store" / "chunks" / damaged[:2] / damaged).write_bytes(b"other")
    left_out = []
    assert pull(store, tmp_path / "copy", (), patient, ignore, lambda what, error: left_out.append(what)) == 1
    assert left_out == [f"arm1/{episode_id}"] and tries == []


def test_looks_leave_damaged_content_alone_until_its_record_changes(folder, tmp_path, impatient):
    reads = []

    class Counting(RemoteStore):
        def chunk(self, chunk):
            reads.append(chunk)
            return super().chunk(chunk)

    store, rests, left_out = Counting(str(tmp_path / "store")), BackOff(), []
    push(sorted(folder.glob("*.h5")), store, "arm1", impatient, ignore, fail)
    robot, episode_id = next(store.episodes())
    record = store.record(robot, episode_id)
    path = tmp_path / "store" / "chunks" / record.chunks[0].sha256[:2] / record.chunks[0].sha256
    content = path.read_bytes()
    path.write_bytes(b"other")

    def look() -> tuple[int, int]:
        """New episodes, and chunks that were read."""
        reads.clear()
        out = left_out.append
        return pull(store, tmp_path / "copy", (), impatient, ignore, lambda *what: out(what), rests), len(reads)

    new, count = look()
    assert new == 1 and count > 1
    assert [look() for _ in range(6)] == [(0, 0), (0, 1), (0, 0), (0, 0), (0, 1), (0, 0)]
    assert len(left_out) == 3
    path.write_bytes(content)
    assert look() == (0, 0)
    store.put_record(replace(record, annotation="{}"))
    assert look() == (1, len(record.chunks))


def test_a_damaged_file_stops_no_other(folder, tmp_path, impatient):
    store, damaged = RemoteStore(str(tmp_path / "store")), folder / "a.h5"
    damaged.write_bytes(b"no episode")
    left_out = []
    files = [damaged, folder / "gone.h5", *sorted(folder.glob("lift*.h5"))]
    assert push(files, store, "arm1", impatient, ignore, lambda path, error: left_out.append(path)) == 2
    assert left_out == [damaged, folder / "gone.h5"] and len(list(store.episodes())) == 2


def test_robots_share_a_store_and_are_pulled_apart(folder, tmp_path, impatient):
    store = RemoteStore(str(tmp_path / "store"))
    one, two = sorted(folder.glob("*.h5"))
    push([one], store, "arm1", impatient, ignore, fail)
    push([one, two], store, "arm2", impatient, ignore, fail)
    left_out = []
    assert pull(store, tmp_path / "all", (), impatient, ignore, lambda *what: left_out.append(what)) == 2
    assert [what for what, _ in left_out] == [f"arm2/{read_episode(one, images=False).info.episode_id}"]
    assert f"robots arm1 and arm2 both have {one.name}" in str(left_out[0][1])
    assert pull(store, tmp_path / "arm1", ["arm1"], impatient, ignore, fail) == 1
    assert pull(store, tmp_path / "arm2", ["arm2"], impatient, ignore, fail) == 2


def test_another_file_under_the_name_of_an_episode_is_rejected(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, ignore, fail)
    with open(first, "ab") as file:
        file.write(b"more")
    with pytest.raises(EpisodeToolError, match=r"has another file as episode .* give this robot a name of its own"):
        push([first], store, "arm1", impatient, ignore, fail)


def test_a_share_that_is_not_mounted_is_not_taken_for_the_store(folder, tmp_path, impatient):
    share, away, files = tmp_path / "share", tmp_path / "away", sorted(folder.glob("*.h5"))
    url = str(share / "lift")
    assert push(files[:1], RemoteStore(url), "arm1", impatient, ignore, fail) == 1
    assert pull(RemoteStore(url), tmp_path / "copy", (), impatient, ignore, fail) == 1
    share.rename(away)
    share.mkdir()
    with pytest.raises(RemoteError, match="is its share mounted"):
        push(files, RemoteStore(url), "arm1", impatient, ignore, fail)
    with pytest.raises(RemoteError, match="is its share mounted"):
        pull(RemoteStore(url), tmp_path / "copy", (), impatient, ignore, fail)
    assert list(share.iterdir()) == []
    share.rmdir()
    away.rename(share)
    assert push(files, RemoteStore(url), "arm1", impatient, ignore, fail) == 1
    assert pull(RemoteStore(url), tmp_path / "copy", (), impatient, ignore, fail) == 1


def test_the_commands(folder, tmp_path, capsys):
    store = str(tmp_path / "store")
    assert main(["push", str(folder), "--to", store, "--robot", "arm1"]) == 0
    assert "2 of 2 episodes were new" in capsys.readouterr().out
    assert main(["push", str(folder), "--to", store, "--robot", "arm1"]) == 0
    assert "0 of 2 episodes were new, 0.0 MB sent" in capsys.readouterr().out
    assert main(["pull", store, "--output", str(tmp_path / "copy")]) == 0
    assert "2 of 2 episodes were new" in capsys.readouterr().out
    assert main(["push", str(folder), "--to", store, "--option", "x"]) == 2
    assert "--option x: must be NAME=VALUE" in capsys.readouterr().err
    (folder / "a.h5").write_bytes(b"no episode")
    assert main(["push", str(folder), "--to", store, "--robot", "arm1"]) == 2
    assert f"apo episodes push: {folder / 'a.h5'}" in capsys.readouterr().err


def test_a_watch_goes_on_past_a_damaged_file_and_ends_at_an_interrupt(folder, tmp_path):
    (folder / "a.h5").write_bytes(b"no episode")
    code = (
        "import signal, sys; from apo_episodes.cli.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the runner of the tests ignores\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    store = RemoteStore(str(tmp_path / "store"))
    command = ["push", str(folder), "--to", store.url, "--robot", "arm1", "--watch", "1"]
    process = subprocess.Popen([sys.executable, "-c", code, *command], stderr=subprocess.PIPE, text=True)
    try:
        assert str(folder / "a.h5") in process.stderr.readline()
        wait_for(lambda: len(list(store.episodes())) == 2)
        shutil.copy(sorted(TAKEOVERS.glob("*.h5"))[2], folder)
        wait_for(lambda: len(list(store.episodes())) == 3)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "stopped; the same command goes on\n"
    finally:
        process.kill()
    assert process.returncode == 130


def test_the_journal_names_a_file_only_once_its_record_is_there(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, ignore, fail)
    (journal,) = (folder / ".upload").iterdir()
    assert [json.loads(line)["file"] for line in journal.read_text().splitlines()] == [
        "",
        first.name,
    ]  # the store first
