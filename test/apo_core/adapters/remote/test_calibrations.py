"""Calibrations of requests for help travel with their adapters."""

import dataclasses
import json

import pytest
from adapter_samples import CONFIG, MANIFEST, NOW, TENSORS
from calibration_samples import CALIBRATION, calibrate
from transfer_looks import Looks

from apo_core.adapters.calibration import PolicyIdentity
from apo_core.adapters.calibration_file import write_calibration
from apo_core.adapters.remote.push import Push
from apo_core.adapters.remote.store import RemoteAdapters
from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore

LATER, LAST = "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"


def calibrations(store: AdapterStore) -> dict[str, bytes]:
    """Content of each by name."""
    return {path.name: path.read_bytes() for path in (store.path / "help").glob("*")}


class Counting(RemoteAdapters):
    """Counts what is read and listed, as an object store counts."""

    reads = 0

    def document(self, path):
        self.reads += path != "store.json"  # of folders alone
        return super().document(path)

    def listing(self, folder):
        self.reads += 1
        return super().listing(folder)


def test_calibrations_come_with_their_adapters_and_later_ones_after_them(trainer, robot, push, pull):
    calibrate(trainer, 0)
    calibrate(trainer, 2)
    pushing, pulling = push(), pull()
    assert pushing() == [
        "adapter 1",
        "adapter 2",
        "calibration of the base policy",
        "calibration of adapter 2",
        "ring canary: adapter 2 (change 2)",
        "ring fleet: adapter 2 (change 2)",
    ]
    assert pulling() == [
        "adapter 2",
        "calibration of adapter 2",  # before the promotion
        "ring fleet: adapter 2 is promoted (change 2)",
        "adapter 1",
        "calibration of the base policy",
    ]
    assert calibrations(robot) == calibrations(trainer)
    assert pushing() == pulling() == push()() == pull()() == []
    calibrate(trainer, 1)
    calibrate(trainer, 2, created_utc=LATER)
    assert pushing() == ["calibration of adapter 1", "calibration of adapter 2"]
    assert pulling() == ["calibration of adapter 2", "calibration of adapter 1"]  # the promoted one first
    assert calibrations(robot) == calibrations(trainer)


def test_the_one_made_last_stays_on_both_sides(trainer, robot, remote, once, push, pull):
    calibrate(trainer, 2, created_utc=LATER)
    pushing = push()
    pushing()
    pull()()
    own = calibrate(robot, 2, created_utc=LAST).read_bytes()
    assert pull()() == [] and calibrations(robot) == {"000002.json": own}
    calibrate(trainer, 2, created_utc=NOW)
    assert pushing() == [] and json.loads(remote.calibration(2))["created_utc"] == LATER
    assert Looks(Push(robot, remote, "fleet", once))() == ["calibration of adapter 2"]
    assert remote.calibration(2) == own


def test_of_two_of_one_second_both_sides_keep_the_same(trainer, robot, remote, once, push, pull):
    calibrate(trainer, 2, horizon_s=2.0)
    push()()
    pull()()
    calibrate(robot, 2, horizon_s=3.0)
    for _ in range(2):
        Looks(Push(robot, remote, "fleet", once))(), push()(), pull()()
        Looks(Push(robot, remote, "fleet", once))()
    assert remote.calibration(2) == calibrations(robot)["000002.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adapter_sha256": "9" * 64}, "it is of another policy than adapter 2: adapter_sha256 = 999999999999 is not"),
        ({"base_model_sha256": "9" * 64}, "base_model_sha256 = 999999999999 is not aaaaaaaaaaaa"),
        ({"number": 1}, "it is of adapter 1"),
    ],
)
def test_a_foreign_one_is_left_out_and_its_adapter_comes(trainer, robot, remote, push, pull, change, message):
    path = calibrate(trainer, 2)
    document = json.loads(path.read_text())
    foreign = json.dumps({**document, "policy": {**document["policy"], **change}}).encode()
    path.write_bytes(foreign)
    pushing = push()
    assert "adapter 2" in pushing() and remote.calibration(2) is None
    assert len(pushing.left_out) == 1 and message in pushing.left_out[0]
    remote.put_calibration(2, foreign)
    pulling = pull()
    assert pulling() == ["adapter 2", "ring fleet: adapter 2 is promoted (change 2)", "adapter 1"]
    assert len(pulling.left_out) == 1 and message in pulling.left_out[0]
    assert "the calibration of adapter 2 is not taken into" in pulling.left_out[0]
    assert calibrations(robot) == {}


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 60_000, b" " * 70_000, b"{}"])
def test_a_damaged_one_is_left_out_until_it_is_mended(trainer, robot, remote, push, pull, content):
    push()()
    remote.put_calibration(2, content)
    pulling = pull()
    assert "adapter 2" in pulling() and "the calibration of adapter 2 is not taken" in pulling.left_out[0]
    assert pulling() == pulling.left_out == []  # a look without it
    pulling()
    assert len(pulling.left_out) == 1
    calibrate(trainer, 2)
    assert push()() == ["calibration of adapter 2"]
    assert pulling() == ["calibration of adapter 2"]


def test_a_file_in_place_of_the_folder_stops_no_adapter(trainer, push):
    (trainer.path / "help").write_text("")
    pushing = push()
    assert len(pushing()) == 4
    assert len(pushing.left_out) == 1 and "help cannot be listed" in pushing.left_out[0]


def test_a_damaged_one_of_the_robot_is_replaced(trainer, robot, push, pull):
    calibrate(trainer, 2)
    push()()
    pull()()
    (robot.path / "help" / "000002.json").write_bytes(b"{")
    assert pull()() == ["calibration of adapter 2"]
    assert calibrations(robot) == calibrations(trainer)


def test_that_of_the_base_policy_must_have_the_base_of_an_adapter(trainer, robot, remote, push, pull):
    calibrate(trainer, 0)
    push()()
    foreign = dataclasses.replace(CALIBRATION, policy=PolicyIdentity(0, "", "9" * 64, "b" * 64, "c" * 64))
    write_calibration(trainer.path, dataclasses.replace(foreign, created_utc=LATER))
    pushing = push()
    assert pushing() == [] and "it is of another base policy than every adapter of" in pushing.left_out[0]
    remote.put_calibration(0, (trainer.path / "help" / "000000.json").read_bytes())
    pulling = pull()
    assert "calibration of the base policy" not in pulling()
    assert "it is of another base policy than every adapter of" in pulling.left_out[0]


def test_before_the_first_adapter_that_of_the_base_policy_comes(tmp_path, robot, remote, once, pull):
    trainer = AdapterStore(tmp_path / "new")
    calibrate(trainer, 0)
    assert Looks(Push(trainer, remote, "fleet", once))() == ["calibration of the base policy"]
    assert pull()() == ["calibration of the base policy"]
    other = dataclasses.replace(CALIBRATION, policy=PolicyIdentity(0, "", "9" * 64, "b" * 64, "c" * 64))
    path = write_calibration(tmp_path / "other", dataclasses.replace(other, created_utc=LATER))
    remote.put_calibration(0, path.read_bytes())
    pulling = pull()
    assert pulling() == [] and "it is of another base policy than" in pulling.left_out[0]
    assert calibrations(robot) == calibrations(trainer)


def test_a_robot_that_asks_for_signatures_takes_no_other(trainer, robot, tmp_path, push, pull):
    key = make_keys(tmp_path / "a.key", tmp_path / "a.pub")
    for version in (1, 2):
        trainer.sign(version, key)
    AdapterStore(trainer.path, key=key).promote(2, NOW)
    calibrate(trainer, 2)
    pushing, pulling = push(), pull(trusted=read_trusted_keys(tmp_path / "a.pub"))
    pushing()
    assert "adapter 2" in pulling() and calibrations(robot) == {}
    assert "it is not signed, and only what is signed by a key of" in pulling.left_out[0]
    calibrate(trainer, 2, key)  # the same, signed
    assert pushing() == pulling() == ["calibration of adapter 2"]
    assert calibrations(robot) == calibrations(trainer)
    calibrate(trainer, 2)  # and the other way round nothing is lost
    assert pushing() == []


def test_a_look_asks_for_what_changed(trainer, remote, push, pull):
    calibrate(trainer, 0)
    calibrate(trainer, 2)
    push()()
    counting = Counting(remote.url)
    pulling = pull(store=counting)
    pulling()
    counting.reads = 0
    assert pulling() == [] and counting.reads == 2  # the listing and the ring
    calibrate(trainer, 2, created_utc=LATER)
    push()()
    assert pulling() == ["calibration of adapter 2"] and counting.reads == 5


def test_without_a_listing_one_comes_with_its_promotion(trainer, robot, remote, push, pull):
    calibrate(trainer, 2)
    pushing = push()
    pushing()
    counting = Counting(remote.url)
    pulling = pull(newest=0, store=counting)
    assert "calibration of adapter 2" in pulling()
    counting.reads = 0
    calibrate(trainer, 2, created_utc=LATER)
    pushing()
    assert pulling() == [] and counting.reads == 1
    trainer.promote(2, NOW)
    pushing()
    assert pulling() == ["calibration of adapter 2", "ring fleet: adapter 2 is promoted (change 3)"]
    trainer.publish(TENSORS, CONFIG, MANIFEST, promote=False)
    assert pushing() == ["adapter 3"] and pulling() == []
