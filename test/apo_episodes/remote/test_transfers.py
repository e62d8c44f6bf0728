"""Push and pull: nothing lost, nothing twice, whatever fails in between."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apo_core.errors import EpisodeToolError
from apo_episodes.annotation import annotation_path
from apo_episodes.cli.cli import main
from apo_episodes.remote import push as pushing
from apo_episodes.remote.pull import pull
from apo_episodes.remote.push import push
from apo_episodes.remote.store import RemoteError, RemoteStore


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Several chunks a file."""
    monkeypatch.setattr(pushing, "CHUNK_BYTES", 20_000)


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
    assert push(sorted(folder.glob("*.h5")), store, "arm1", impatient, seen.append) == 2
    assert all(done.is_new and done.sent_bytes == done.path.stat().st_size for done in seen)
    assert pull(store, tmp_path / "copy", (), impatient, lambda done: None) == 2
    assert names(tmp_path / "copy") == names(folder)
    for name in names(folder):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    assert pull(store, tmp_path / "copy", (), impatient, lambda done: None) == 0


def test_a_second_push_sends_nothing_even_without_its_journal(folder, tmp_path, impatient):
    store = Counting(str(tmp_path / "store"))
    files = sorted(folder.glob("*.h5"))
    push(files, store, "arm1", impatient, lambda done: None)
    written = store.written
    assert written == len(chunks(tmp_path / "store")) > 2
    assert push(files, store, "arm1", impatient, lambda done: None) == 0
    for journal in (folder / ".upload").iterdir():
        journal.write_text('{"file": "cut')
    seen = []
    assert push(files, store, "arm1", impatient, seen.append) == 0
    assert store.written == written and all(done.sent_bytes == 0 for done in seen)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_a_push_goes_on_where_it_failed(folder, tmp_path, impatient, most):
    files = sorted(folder.glob("*.h5"))
    broken = Counting(str(tmp_path / "store"), most)
    with pytest.raises(RemoteError, match="the network is down"):
        push(files, broken, "arm1", impatient, lambda done: None)
    assert list(broken.episodes()) == []  # no record before its chunks
    whole = Counting(str(tmp_path / "store"))
    push(files, whole, "arm1", impatient, lambda done: None)
    assert broken.written == most and whole.written + most == len(chunks(tmp_path / "store"))


def test_an_annotation_travels_and_a_local_one_stays(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, lambda done: None)
    assert main(["annotate", str(first), "--outcome", "FAILURE", "--author", "ann"]) == 0
    assert push([first], store, "arm1", impatient, lambda done: None) == 0
    pull(store, tmp_path / "copy", (), impatient, lambda done: None)
    beside = annotation_path(tmp_path / "copy" / first.name)
    assert beside.read_text() == annotation_path(first).read_text()
    beside.write_text("{}")
    seen = []
    pull(store, tmp_path / "copy", (), impatient, seen.append)
    assert seen[0].has_other_annotation and beside.read_text() == "{}"


def test_damaged_content_leaves_no_file(folder, tmp_path, impatient):
    store = RemoteStore(str(tmp_path / "store"))
    push(sorted(folder.glob("*.h5"))[:1], store, "arm1", impatient, lambda done: None)
    chunks(tmp_path / "store")[0].write_bytes(b"other")
    with pytest.raises(RemoteError, match="bytes of another content"):
        pull(store, tmp_path / "copy", (), impatient, lambda done: None)
    assert names(tmp_path / "copy") == []


def test_robots_share_a_store_and_are_pulled_apart(folder, tmp_path, impatient):
    store = RemoteStore(str(tmp_path / "store"))
    one, two = sorted(folder.glob("*.h5"))
    push([one], store, "arm1", impatient, lambda done: None)
    push([one, two], store, "arm2", impatient, lambda done: None)
    with pytest.raises(EpisodeToolError, match=f"robots arm1 and arm2 both have {one.name}"):
        pull(store, tmp_path / "all", (), impatient, lambda done: None)
    assert pull(store, tmp_path / "arm1", ["arm1"], impatient, lambda done: None) == 1
    assert pull(store, tmp_path / "arm2", ["arm2"], impatient, lambda done: None) == 2


def test_another_file_under_the_name_of_an_episode_is_rejected(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, lambda done: None)
    with open(first, "ab") as file:
        file.write(b"more")
    with pytest.raises(EpisodeToolError, match=r"has another file as episode .* give this robot a name of its own"):
        push([first], store, "arm1", impatient, lambda done: None)


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


def test_killed_at_any_moment_nothing_is_lost_or_doubled(folder, tmp_path, impatient):
    store = tmp_path / "store"
    code = (
        "import sys; from apo_episodes.remote import push as p; p.CHUNK_BYTES = 2000\n"
        "from apo_episodes.cli.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "push", str(folder), "--to", str(store), "--robot", "arm1"]
    rng, kills = random.Random(0), 0
    while kills < 10:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, wanted = len(chunks(store)), rng.randint(1, 12)
        # killed in the middle of its work, not before it has begun
        while process.poll() is None and len(chunks(store)) < before + wanted:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills > 2
    assert subprocess.run(command, check=True, capture_output=True).returncode == 0
    remote = RemoteStore(str(store))
    assert [robot for robot, _ in remote.episodes()] == ["arm1", "arm1"]
    pull(remote, tmp_path / "copy", (), impatient, lambda done: None)
    for name in names(folder):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
    listed = {chunk.sha256 for _, name in remote.episodes() for chunk in remote.record("arm1", name).chunks}
    assert {path.name for path in chunks(store) if not path.name.endswith(".new")} == listed


def test_the_journal_names_a_file_only_once_its_record_is_there(folder, tmp_path, impatient):
    store, first = RemoteStore(str(tmp_path / "store")), min(folder.glob("*.h5"))
    push([first], store, "arm1", impatient, lambda done: None)
    (journal,) = (folder / ".upload").iterdir()
    assert [json.loads(line)["file"] for line in journal.read_text().splitlines()] == [first.name]
