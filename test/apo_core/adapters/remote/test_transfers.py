"""Push and pull of adapters: whole versions, and never a promotion without its version."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from adapter_samples import CONFIG, MANIFEST, NOW, TENSORS, flip_a_bit
from transfer_looks import Looks

from apo_core.adapters.promotion import read_pointer
from apo_core.adapters.remote.pull import Pull
from apo_core.adapters.remote.push import Push
from apo_core.adapters.remote.rings import release
from apo_core.adapters.remote.store import RemoteAdapters
from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.errors import AdapterError
from apo_core.remote.chunk_store import RemoteError


def damage(remote: RemoteAdapters, number: int, name: str) -> None:
    """Other content in a chunk of an adapter's file; the chunks of one file are one here."""
    chunk = remote.record(number).files[name].chunks[0]
    path = f"chunks/{chunk.sha256[:2]}/{chunk.sha256}"
    remote.put_document(path, b"x" * chunk.size)


def test_what_is_pushed_is_pulled_with_its_promotion(trainer, robot, push, pull):
    pushing, pulling = push(), pull()
    assert pushing() == [
        "adapter 1",
        "adapter 2",
        "ring canary: adapter 2 (change 2)",
        "ring fleet: adapter 2 (change 2)",
    ]
    assert pulling() == ["adapter 2", "ring fleet: adapter 2 is promoted (change 2)", "adapter 1"]
    assert robot.versions() == [1, 2] and robot.promotion() == trainer.promotion()
    for version in ("000001", "000002"):
        for path in (trainer.path / version).iterdir():
            assert (robot.path / version / path.name).read_bytes() == path.read_bytes()
    assert robot.read(2)[0] == trainer.read(2)[0]
    assert pushing() == pulling() == push()() == pull()() == []


def test_what_is_published_and_rolled_back_later_follows(trainer, robot, push, pull):
    pushing, pulling = push(), pull()
    pushing(), pulling()
    trainer.publish(TENSORS, CONFIG, MANIFEST)
    trainer.roll_back(NOW)
    assert pushing()[0] == "adapter 3"
    assert pulling() == ["ring fleet: adapter 2 is promoted (change 4)", "adapter 3"]
    assert robot.promotion() == trainer.promotion()


def test_a_promotion_waits_for_a_version_that_is_whole(trainer, robot, remote, push, pull):
    push()()
    pull()()
    trainer.publish({**TENSORS, "more": TENSORS["base_model.model.q_proj.lora_A.weight"] + 1}, CONFIG, MANIFEST)
    trainer.publish(TENSORS, CONFIG, MANIFEST, promote=False)
    push()()
    damage(remote, 3, "adapter_model.safetensors")
    pulling = pull()
    assert pulling() == ["adapter 4"]
    assert "bytes of another content" in pulling.left_out[0]
    assert "the promotion of ring fleet: adapter 3 in" in pulling.left_out[1]
    assert robot.versions() == [1, 2, 4] and robot.promotion().number == 2
    assert [path.name for path in robot.path.iterdir() if path.name.startswith(".pulling-")] == []
    chunk = remote.record(3).files["adapter_model.safetensors"].chunks[0]
    data = (trainer.path / "000003" / "adapter_model.safetensors").read_bytes()
    remote.put_document(f"chunks/{chunk.sha256[:2]}/{chunk.sha256}", data)
    assert pulling() == []  # a look is passed over
    assert pulling() == ["adapter 3", "ring fleet: adapter 3 is promoted (change 3)"]


def test_a_damaged_version_is_not_pushed_nor_promoted(trainer, remote, push):
    flip_a_bit(trainer.path / "000002")
    pushing = push()
    assert pushing() == ["adapter 1"]
    assert "adapter_model.safetensors does not have the sha256" in pushing.left_out[0]
    assert "current.json names adapter 2, which has not come to" in pushing.left_out[1]
    assert remote.versions() == [1] and remote.ring("fleet") is None


def test_the_number_of_another_adapter_is_rejected_both_ways(robot, tmp_path, remote, once, push, pull):
    push()()
    other = AdapterStore(tmp_path / "other")
    other.publish(TENSORS, CONFIG, MANIFEST, promote=False)
    pushing = Looks(Push(other, remote, "fleet", once))
    (other.path / "000001" / "manifest.json").write_bytes(
        (other.path / "000001" / "manifest.json").read_bytes().replace(b"ep-1", b"ep-9")
    )
    assert pushing() == [] and "has another adapter 1 than" in pushing.left_out[0]
    shutil.copytree(other.path, robot.path)
    pulling = pull()
    assert pulling() == ["adapter 2", "ring fleet: adapter 2 is promoted (change 2)"]
    assert "is another adapter than that of" in pulling.left_out[0]


def test_an_older_promotion_replaces_no_newer_one(trainer, robot, remote, push, pull):
    push()()
    kept = remote.ring("fleet")
    trainer.roll_back(NOW)
    push()()
    assert pull()()[1] == "ring fleet: adapter 1 is promoted (change 3)"
    remote.put_ring("fleet", kept)  # as somebody might who has kept it
    pulling = pull()
    assert pulling() == [] and pulling.left_out == []
    assert robot.promotion().number == 1


def test_a_decision_at_the_robot_stays_until_a_newer_one(trainer, robot, push, pull):
    push()()
    pull()()
    robot.roll_back(NOW, "it shakes")
    assert pull()() == [] and robot.promotion().reason == "it shakes"
    trainer.promote(2, "2026-01-06T00:00:00+00:00")
    push()()
    pulling = pull()
    assert pulling() == []
    assert "change 3 to adapter 2 (2026-01-06T00:00:00+00:00) is not change 3 to adapter 1" in pulling.left_out[0]
    trainer.promote(2, "2026-01-07T00:00:00+00:00")
    push()()
    assert pulling() == ["ring fleet: adapter 2 is promoted (change 4)"]


def test_a_trial_at_a_canary_reaches_the_fleet(trainer, robot, remote, once, push, pull):
    push("canary")()
    pull("canary")()
    robot.promote(1, NOW, "the trial")  # as a policy node does at the end of one
    seen = Looks(Push(robot, remote, "canary", once))()
    assert seen == ["ring canary: adapter 1 (change 3)"]
    release(remote, 1, once)
    stale = push()
    assert stale() == [] and "is newer than change 2 to adapter 2: pull it first" in stale.left_out[0]
    assert Looks(Pull(remote, trainer.path, "fleet", 0, once))() == ["ring fleet: adapter 1 is promoted (change 3)"]
    assert trainer.promotion() == robot.promotion()


def test_robots_of_the_fleet_follow_after_the_release(tmp_path, trainer, remote, once, push):
    folders = {ring: tmp_path / ring for ring in ("canary", "fleet")}
    looks = {ring: Looks(Pull(remote, folder, ring, None, once)) for ring, folder in folders.items()}
    push()()
    for look in looks.values():
        look()
    trainer.publish(TENSORS, CONFIG, MANIFEST)
    push("canary")()
    for look in looks.values():
        look()
    assert [AdapterStore(folder).promotion().number for folder in folders.values()] == [3, 2]
    assert AdapterStore(folders["fleet"]).versions() == [1, 2, 3]  # it is there for the release
    release(remote, 3, once)
    assert looks["fleet"]() == ["ring fleet: adapter 3 is promoted (change 3)"]
    assert looks["canary"]() == []


def test_without_a_trusted_signature_nothing_appears(trainer, robot, tmp_path, push, pull):
    key = make_keys(tmp_path / "a.key", tmp_path / "a.pub")
    trusted = read_trusted_keys(tmp_path / "a.pub")
    pushing, pulling = push(), pull(trusted=trusted)
    pushing()
    assert pulling() == [] and robot.versions() == []
    assert "it is not signed" in pulling.left_out[0]
    trainer.sign(2, key)
    assert pushing() == ["signature of adapter 2"]
    AdapterStore(trainer.path, key=key).promote(2, NOW)
    assert pushing()[-1] == "ring fleet: adapter 2 (change 3)"
    assert pulling() == ["adapter 2", "ring fleet: adapter 2 is promoted (change 3)"]
    signed = AdapterStore(robot.path, trusted)
    assert signed.promotion().number == 2 and signed.versions() == [2]
    assert read_pointer(robot.path) == read_pointer(trainer.path)


def test_a_signature_that_came_later_is_pulled(trainer, robot, tmp_path, push, pull):
    push()()
    pull()()
    trainer.sign(1, make_keys(tmp_path / "a.key", tmp_path / "a.pub"))
    push()()
    make_keys(tmp_path / "b.key", tmp_path / "b.pub")
    pulling = pull(trusted=read_trusted_keys(tmp_path / "b.pub"))
    assert pulling() == [] and any("the signature of adapter 1" in text for text in pulling.left_out)
    assert pull(trusted=read_trusted_keys(tmp_path / "a.pub"))() == ["signature of adapter 1"]
    assert AdapterStore(robot.path, read_trusted_keys(tmp_path / "a.pub")).read(1)[0].number == 1


def test_only_the_newest_come_beside_the_promoted_and_the_one_before(trainer, robot, push, pull):
    for _ in range(4):
        trainer.publish(TENSORS, CONFIG, MANIFEST, promote=False)
    push()()
    assert pull(newest=0)() == ["adapter 2", "ring fleet: adapter 2 is promoted (change 2)", "adapter 1"]
    assert pull(newest=1)() == ["adapter 6"]
    assert robot.prune(1) == [] and robot.versions() == [1, 2, 6]
    assert pull(newest=1)() == []


def test_a_number_that_came_is_not_given_again(robot, push, pull):
    push()()
    pull()()
    shutil.rmtree(robot.path / "000002")
    assert robot.publish(TENSORS, CONFIG, MANIFEST).number == 3


def test_two_pulls_do_not_work_on_one_folder(remote, robot, once, push, pull):
    push()()

    class Meeting(RemoteAdapters):
        def listed(self):
            with pytest.raises(AdapterError, match="another apo adapters pull works on it"):
                Pull(remote, robot.path, "fleet", None, once).look(print, print)
            return super().listed()

    assert len(pull(store=Meeting(remote.url))()) == 3


def test_a_share_that_is_not_mounted_is_not_taken_for_the_store(trainer, robot, remote, push, pull, tmp_path):
    pushing = push()
    pushing(), pull()()
    share, away = tmp_path / "remote", tmp_path / "away"
    share.rename(away)
    share.mkdir()
    trainer.publish(TENSORS, CONFIG, MANIFEST)
    for look in (pushing, push(), pull()):
        with pytest.raises(RemoteError, match="is its share mounted"):
            look()
    assert list(share.iterdir()) == []
    share.rmdir()
    away.rename(share)
    assert pushing()[0] == pull()()[0] == "adapter 3"


def test_a_push_that_fails_promotes_nothing_and_goes_on(trainer, remote, once):
    class Failing(RemoteAdapters):
        def put_record(self, record):
            raise RemoteError("the network is down")

    with pytest.raises(RemoteError, match="the network is down"):
        Push(trainer, Failing(remote.url), "fleet", once).look(print, print)
    assert remote.versions() == [] and remote.ring("fleet") is None
    assert len(Looks(Push(trainer, remote, "fleet", once))()) == 4


def test_killed_at_any_moment_a_robot_serves_what_is_whole(trainer, robot, remote, push, pull):
    push()()
    pull()()
    code = "import sys; from apo_core.adapters.cli.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "pull", remote.url, "--output", str(robot.path)]
    rng, kills = random.Random(0), 0
    for number in range(3, 8):
        trainer.publish(TENSORS, CONFIG, MANIFEST)
        push()()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        work = [".pulling-*", f"{number:06d}"][rng.randint(0, 1)]
        while process.poll() is None and not any(robot.path.glob(work)):
            time.sleep(0.0005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        promoted = AdapterStore(robot.path).promotion().number
        assert promoted in (number, number - 1) and robot.read(promoted)[0].number == promoted
        for version in robot.versions():
            robot.read(version)
        subprocess.run(command, check=True, capture_output=True)
        assert robot.promotion().number == number and not any(robot.path.glob(".pulling-*"))
    assert kills > 0
    assert json.loads(read_pointer(robot.path))["history"] == json.loads(read_pointer(trainer.path))["history"]
