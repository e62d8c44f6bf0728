"""`apo adapters` as it is typed."""

import json
from pathlib import Path

import numpy as np
import pytest
from adapter_samples import CONFIG, plain_manifest
from calibration_samples import calibrate

from apo_core.adapters.calibration_file import identity, read_calibration
from apo_core.adapters.cli.cli import main
from apo_core.adapters.manifest import ManifestInput
from apo_core.adapters.signature import read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.adapters.trial import ShadowCounts, Stage, Trial, TrialLimits, TrialOutcome

TOOLS = [
    "ls",
    "show",
    "verify",
    "promote",
    "rollback",
    "prune",
    "export-peft",
    "keygen",
    "sign",
    "push",
    "pull",
    "release",
]
TENSORS = {"base_model.model.q_proj.lora_A.weight": np.ones((2, 3), np.float32)}


def manifest(parent: int, verdict: dict | None, **changes) -> ManifestInput:
    return plain_manifest(parent=parent, metrics={"loss": 0.25}, config={"steps": 40}, verdict=verdict, **changes)


@pytest.fixture
def store(tmp_path: Path) -> AdapterStore:
    """Two adapters, the first with the labels of old ones; the second, from it, is promoted."""
    store = AdapterStore(tmp_path / "adapters")
    store.publish(TENSORS, CONFIG, manifest(0, None, action_labels="rebinned"))
    store.publish(TENSORS, CONFIG, manifest(1, {"accepted": True, "values": {"held_out_l1": 0.125}}))
    return store


@pytest.fixture
def run(store, capsys):
    """(arguments) -> (exit status, stdout, stderr), on the store."""

    def call(tool, *arguments):
        where = [] if tool == "keygen" else ["--store", str(store.path)]
        status = main([tool, *where, *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def damage(store: AdapterStore, version: int) -> None:
    (store.path / f"{version:06d}" / "adapter_model.safetensors").write_bytes(b"")


@pytest.mark.parametrize("arguments", [[], *([tool] for tool in TOOLS)])
def test_every_tool_explains_itself(capsys, arguments):
    with pytest.raises(SystemExit) as exit_:
        main([*arguments, "--help"])
    assert exit_.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: {' '.join(['apo adapters', *arguments])}")
    if not arguments:
        assert all(f"\n    {tool}" in text for tool in TOOLS)


def test_ls_is_a_table_with_a_star_at_what_is_promoted(run):
    status, out, _ = run("ls")
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["version", "created", "method", "parent", "episodes", "gate", "action", "labels", "megabytes", "signed", "by"],
        ["0", "base", "policy"],
        ["1", "2026-01-02T03:04:05", "apo", "0", "2", "not", "judged", "rebinned", "0.0", "-"],
        ["*", "2", "2026-01-02T03:04:05", "apo", "1", "2", "accepted", "emitted", "0.0", "-"],
    ]


def test_ls_lists_the_rest_beside_what_cannot_be_read(run, store):
    (store.path / "000001" / "manifest.json").write_text("{")
    status, out, err = run("ls", "--json")
    assert status == 2
    assert [(row["version"], row["promoted"], row["accepted"]) for row in json.loads(out)] == [(2, True, True)]
    assert "adapter 1 in" in err


def test_show_prints_the_manifest(run):
    status, out, _ = run("show", 2)
    assert status == 0
    for line in ("version: 2", "promoted: True", "parent: 1", "episode_ids: ep-1, ep-2", "    held_out_l1: 0.125"):
        assert line in out.splitlines()
    facts = json.loads(run("show", 1, "--json")[1])
    assert (facts["config"], facts["verdict"], facts["promoted"]) == ({"steps": 40}, None, False)
    assert len(facts["files"]["adapter_model.safetensors"]["sha256"]) == 64


def test_show_prints_how_an_adapter_proved_itself(run, store):
    assert json.loads(run("show", 2, "--json")[1])["trial"] is None
    trial = Trial(2, 1, 0, TrialLimits(shadow_steps=0)).shadowed(ShadowCounts(steps=4, disagreement=0.25))
    trial = trial.drawn(0.0, "").begun("e1").ended("e1", TrialOutcome.SUCCESS, 0, "", (2,))
    trial = trial.drawn(0.9, "").begun("e2").ended("e2", TrialOutcome.VOID, 0, "")
    store.record_trial(trial.decided(Stage.ROLLED_BACK, "2026-01-02T03:04:05+00:00", "by hand"))
    facts = json.loads(run("show", 2, "--json")[1])["trial"]
    assert (facts["stage"], facts["beside"], facts["reason"]) == ("rolled_back", "adapter 1", "by hand")
    assert (facts["unaided_successes"], facts["unaided_successes_beside"]) == ("1 of 1", "0 of 0")
    assert (facts["void_episodes"], facts["shadow"]["disagreement"]) == (1, 0.25)
    assert facts["log_e_needed"] == pytest.approx(2.9957323)
    assert "  unaided_successes: 1 of 1" in run("show", 2)[1].splitlines()


def test_verify_names_what_is_damaged(run, store):
    assert run("verify")[0] == 0
    damage(store, 1)
    status, out, _ = run("verify")
    assert status == 2
    assert "FAULT adapter 1 in" in out
    assert "adapter_model.safetensors has 0 bytes, the manifest lists" in out
    assert out.splitlines()[-1] == "2 adapters, 1 with faults"
    assert [r["sound"] for r in json.loads(run("verify", 2, "--json")[1])] == [True]


def test_promote_and_rollback_change_what_is_served(run, store):
    assert run("promote", 1, "--reason", "calmer")[1].startswith("adapter 1 is promoted (change 3)")
    assert (store.promotion().number, store.promotion().reason) == (1, "calmer")
    assert run("rollback")[1].startswith("adapter 2 is promoted (change 4)")
    assert run("promote", 0)[1].startswith("the base policy is promoted (change 5)")
    status, _, err = run("rollback")
    assert status == 2
    assert "nothing to roll back to" in err


def test_what_is_damaged_is_not_promoted(run, store):
    damage(store, 1)
    status, _, err = run("promote", 1)
    assert status == 2
    assert "apo adapters promote: adapter 1 in" in err
    assert store.promotion().number == 2


def test_prune_prints_what_it_removed(run, store):
    for _ in range(2):
        store.publish(TENSORS, CONFIG, manifest(0, None))
    assert run("prune", "--keep", 1)[1] == "removed 1, 2\n"
    assert store.versions() == [3, 4]
    assert run("prune", "--keep", 1)[1] == "removed nothing\n"


def test_keys_are_made_used_and_asked_for(run, store, tmp_path):
    status, out, _ = run("keygen", tmp_path / "trainer")
    assert status == 0
    assert "trainer.key signs and stays here" in out
    public = ("--public-key", tmp_path / "trainer.pub")
    assert run("verify", *public)[0] == 2
    assert run("sign", 1, "--key", tmp_path / "trainer.key")[0] == 0
    assert run("verify", 1, *public)[0] == 0
    status, _, err = run("promote", 2, *public)
    assert status == 2
    assert "it is not signed" in err
    assert run("promote", 1, "--key", tmp_path / "trainer.key")[0] == 0
    assert AdapterStore(store.path, read_trusted_keys(tmp_path / "trainer.pub")).promotion().number == 1
    assert run("rollback", "--key", tmp_path / "trainer.key")[0] == 0
    assert AdapterStore(store.path, read_trusted_keys(tmp_path / "trainer.pub")).promotion().number == 2
    assert run("keygen", tmp_path / "trainer")[0] == 2


def test_a_store_that_is_not_there_is_an_error(capsys, tmp_path):
    assert main(["ls", "--store", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"apo adapters ls: {tmp_path / 'none'}: there is no adapter store")


def test_sign_covers_calibrations_and_show_prints_one(run, store, tmp_path):
    facts = {
        "created_utc": "2026-01-02T03:04:05+00:00",
        "signer": "",
        "replan_steps": 2,
        "action_horizon": 0,
        "threshold": 0.75,
        "false_alarms": 0.1,
    }
    assert json.loads(run("show", 1, "--json")[1])["calibration"] is None
    run("keygen", tmp_path / "a")
    assert "the base policy has no calibration to sign" in run("sign", 0, "--key", tmp_path / "a.key")[2]
    calibrate(store, 0)
    path = calibrate(store, 1)
    assert json.loads(run("show", 1, "--json")[1])["calibration"] == facts
    status, out, _ = run("sign", 0, 1, "--key", tmp_path / "a.key")
    signer = json.loads(run("show", 1, "--json")[1])["calibration"]["signer"]
    assert status == 0 and len(signer) == 64
    assert out.splitlines() == [
        f"{what} is signed by key {signer[:12]}"
        for what in ("the calibration of the base policy", "adapter 1", "the calibration of adapter 1")
    ]
    for number in (0, 1):
        policy = identity(store, number, "a" * 64, "b" * 64, "c" * 64)
        assert read_calibration(store.path, policy, read_trusted_keys(tmp_path / "a.pub")) is not None
    path.write_text("{")
    assert "it is not valid JSON" in json.loads(run("show", 1, "--json")[1])["calibration"]["fault"]
