"""The training program: what it prints, writes and publishes, and how it fails."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import h5py
import numpy as np
import pytest
from training_output import published, result_of

from apo_core.adapters.signature import make_keys, read_trusted_keys
from apo_core.adapters.store import AdapterStore
from apo_core.types import EpisodeKind
from apo_trainer import train
from apo_trainer.config import read_config
from apo_vla.policy import VlaPolicy


def test_a_run_publishes_an_adapter_that_the_policy_loads(arguments, checkpoint, tmp_path, capsys):
    assert train.main(arguments()) == 0
    result = result_of(tmp_path)
    assert (result["state"], result["version"], result["parent"], result["steps"]) == ("PUBLISHED", 1, 0, 10)
    assert result["verdict"]["accepted"]
    version, tensors = AdapterStore(tmp_path / "adapters").read(1)
    policy = VlaPolicy.load(checkpoint)
    policy.swap(policy.stage(tensors), 1)
    assert (version.parent, version.method) == (0, "apo")
    assert version.base_model_sha256 == policy.base_sha256
    assert version.statistics_sha256 == policy.statistics_sha256
    assert version.contract_sha256 == policy.contract_sha256
    assert version.config_sha256 == read_config(tmp_path / "run.yaml").training.sha256
    assert set(version.episode_ids) < {f"e{i}" for i in range(8)}
    assert version.verdict == result["verdict"]
    assert (version.config["steps"], version.config["method"]) == (10, "apo")
    assert version.action_labels == "emitted"
    tokens = result["data"]["policy_tokens"]
    assert version.metrics["data"]["policy_tokens"] == tokens == {"recorded": 0, "encoded": ANY, "disagreeing": 0}
    assert AdapterStore(tmp_path / "adapters").promotion().number == 1
    assert np.asarray(version.self_test["values"]).shape == (2, 7)
    capsys.readouterr()


def test_progress_is_json_lines_on_stdout_and_text_on_stderr(arguments, capsys):
    train.main(arguments())
    captured = capsys.readouterr()
    messages = [json.loads(line) for line in captured.out.splitlines()]
    assert [m["event"] for m in messages] == ["start"] + ["progress"] * 10 + ["result"]
    assert [m["step"] for m in messages[1:-1]] == list(range(1, 11))
    assert messages[-2]["eta_s"] == 0.0
    assert {"steps", "loss", "z0", "log_ratio", "weight", "l1"} <= messages[1].keys()
    assert "step 10/10" in captured.err
    assert "PUBLISHED: published adapter 1 (10 steps" in captured.err


def test_metrics_of_every_step_are_kept(arguments, tmp_path):
    train.main(arguments())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 11))


def test_an_adapter_may_be_published_signed_and_without_being_served(arguments, tmp_path):
    key = make_keys(tmp_path / "key", tmp_path / "pub")
    assert train.main(arguments(promote=False, signing_key=str(tmp_path / "key"))) == 0
    store = AdapterStore(tmp_path / "adapters", read_trusted_keys(tmp_path / "pub"))
    assert (store.read(1)[0].number, store.promotion().number) == (1, 0)
    assert store.signer(1) == key.fingerprint


def test_missing_key_is_reported_before_training(arguments, tmp_path):
    assert train.main(arguments(signing_key=str(tmp_path / "none"))) == 2
    result = result_of(tmp_path)
    assert (result["steps"], published(tmp_path)) == (0, [])
    assert "AdapterError: key " in result["message"]


def test_the_next_round_starts_from_the_base_policy_again(arguments, tmp_path):
    train.main(arguments("first"))
    assert train.main(arguments("second", parent=1, start_from="base")) == 0
    result = result_of(tmp_path, "second")
    assert (result["parent"], result["serving"]) == (0, 1)
    assert result["notes"][0] == "trained from the base policy (start_from = base), to replace adapter 1"
    version, tensors = AdapterStore(tmp_path / "adapters").read(2)
    assert (version.parent, version.metrics["serving"]) == (0, 1)
    # the same data and the same start give the same adapter, which is no better than what serves
    first = AdapterStore(tmp_path / "adapters").read(1)[1]
    assert all(np.array_equal(first[name], tensors[name]) for name in first)
    values = result["verdict"]["values"]
    assert (values["held_out_serving_l1"], values["serving_desirable_log_ratio"]) == (values["held_out_l1"], 0.0)


def test_the_next_round_may_start_from_what_serves(arguments, tmp_path):
    train.main(arguments("first"))
    assert train.main(arguments("second", parent=1, start_from="serving", reference="start")) == 0
    version, _ = AdapterStore(tmp_path / "adapters").read(2)
    assert (version.parent, version.metrics["serving"]) == (1, 1)
    first = json.loads((tmp_path / "second" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["log_ratio"]["HUMAN"] == 0.0
    assert "held_out_serving_l1" not in result_of(tmp_path, "second")["verdict"]["values"]


def test_next_round_may_keep_the_base_policy_as_its_reference(arguments, tmp_path):
    train.main(arguments("first"))
    assert train.main(arguments("second", parent=1)) == 0
    result = result_of(tmp_path, "second")
    assert result["notes"][0] == "trained from adapter 1, with log-ratios to the base policy (reference = base)"
    first = json.loads((tmp_path / "second" / "metrics.jsonl").read_text().splitlines()[0])
    assert first["log_ratio"]["HUMAN"] > 0.0
    assert "held_out_serving_l1" in result["verdict"]["values"]


def test_serving_adapter_of_another_shape_is_noted_not_compared_with(arguments, tmp_path):
    train.main(arguments("first", lora_rank=4))
    assert train.main(arguments("second", parent=1, start_from="base")) == 0
    notes = result_of(tmp_path, "second")["verdict"]["notes"]
    assert any(
        note.startswith("adapter 1 serves and was not compared with: adapter_config.json: r = 4") for note in notes
    )


def test_the_number_of_steps_may_follow_from_the_data(arguments, tmp_path, capsys):
    # five episodes of three human and three undesirable steps, eight rows a batch: 3 * 30 / 8
    assert train.main(arguments(steps=0, passes=3.0, min_steps=2)) == 0
    messages = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {m["steps"] for m in messages} == {12}
    assert messages[-2]["eta_s"] == 0.0
    result = result_of(tmp_path)
    assert (result["steps"], result["planned_steps"]) == (12, 12)


def test_the_data_report_counts_by_class_and_adapter(arguments, tmp_path):
    train.main(arguments())
    result = result_of(tmp_path)
    assert result["data"]["train_samples_by_adapter"] == {
        "POLICY": {"0": 10},
        "HUMAN": {"0": 15},
        "UNDESIRABLE": {"0": 15},
    }
    assert "undesirable steps by adapter: {0: 15}" in result["notes"]


def test_overrides_on_the_command_line_win(arguments, tmp_path):
    train.main([*arguments(), "--steps", "3", "--method", "kto", "--set", "learning_rate=1e-3"])
    config = read_config(tmp_path / "run" / "config.yaml")
    assert (config.training.steps, config.training.method, config.training.learning_rate) == (3, "kto", 1e-3)
    assert result_of(tmp_path)["steps"] == 3


def test_only_the_named_episodes_are_used_and_missing_ones_are_reported(arguments, tmp_path):
    train.main([*arguments(held_out_share=0.0), "--episode-ids", "e1", "e2", "gone"])
    assert AdapterStore(tmp_path / "adapters").read(1)[0].episode_ids == ("e1", "e2")
    assert result_of(tmp_path)["data"]["rejected_files"][0]["reason"] == "requested but not found"


def test_demonstrations_take_the_expert_share(arguments, write_episode, tmp_path):
    for number in range(2):
        write_episode(f"demo{number}", "H" * 12, kind=EpisodeKind.DEMONSTRATION, directory=tmp_path / "expert")
    train.main(arguments())
    assert result_of(tmp_path)["batch"] == {"EXPERT": 4, "HUMAN": 2, "UNDESIRABLE": 2}


def test_bad_file_is_rejected_and_the_run_goes_on(arguments, interactions, tmp_path):
    (interactions / "broken.h5").write_bytes(b"not an episode")
    assert train.main(arguments()) == 0
    rejected = result_of(tmp_path)["data"]["rejected_files"]
    assert [Path(item["path"]).name for item in rejected] == ["broken.h5"]
    assert "not a readable episode file" in rejected[0]["reason"]


def test_file_with_damaged_frames_is_rejected(arguments, interactions, tmp_path):
    with h5py.File(interactions / "e3.h5", "r+") as file:
        file["action/executed"][0, 0] = 0.75  # within the contract, but not what was recorded
    assert train.main(arguments()) == 0
    (rejected,) = result_of(tmp_path)["data"]["rejected_files"]
    assert rejected["path"].endswith("e3.h5")
    assert "checksums: 'action/executed' is not what was recorded" in rejected["reason"]
    assert "e3" not in AdapterStore(tmp_path / "adapters").read(1)[0].episode_ids


def test_run_stopped_while_files_are_checked_is_interrupted(arguments, tmp_path):
    arguments()
    config = read_config(tmp_path / "run.yaml")
    result = train.run(config, 0, (), tmp_path / "run", "run", lambda _: None, lambda: True)
    assert (result.state, result.steps) == ("INTERRUPTED", 0)
    assert result_of(tmp_path)["message"] == "stopped on request; nothing was published"


def test_a_run_leaves_a_picture_and_curves(arguments, tmp_path):
    train.main(arguments())
    assert (tmp_path / "run" / "report.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((tmp_path / "run").glob("events.out.tfevents.*"))) == 1


def test_a_rejected_adapter_is_not_published_and_its_metrics_are_kept(arguments, tmp_path):
    assert train.main(arguments(gate_rise_nats=1000.0)) == 3
    result = result_of(tmp_path)
    assert (result["state"], result["version"]) == ("REJECTED", None)
    assert "gate_rise_nats = 1000" in result["message"]
    assert published(tmp_path) == []
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 10


def test_a_loss_that_is_not_finite_publishes_nothing(arguments, tmp_path):
    train.main(arguments("first"))
    store = AdapterStore(tmp_path / "adapters")
    version, tensors = store.read(1)
    from apo_core.adapters.manifest import ManifestInput, fields_of

    poisoned = {name: np.full_like(value, 1e30) for name, value in tensors.items()}
    store.publish(poisoned, version.adapter_config, ManifestInput(**fields_of(version)))
    assert train.main(arguments("second", parent=2, start_from="serving")) == 2
    assert "loss = nan" in result_of(tmp_path, "second")["message"]
    assert published(tmp_path) == [1, 2]


def test_without_data_the_run_fails_with_the_reason(arguments, tmp_path):
    assert train.main(arguments(episode_dir=str(tmp_path / "nowhere"))) == 2
    assert result_of(tmp_path)["message"].startswith("TrainingDataError: no sample to train on")
    assert published(tmp_path) == []


def test_folders_that_were_typed_must_be_there(arguments, tmp_path, capsys):
    typed = ["--episodes", str(tmp_path / "none"), "--expert", str(tmp_path / "nil")]
    assert train.main([*arguments(), *typed]) == 2
    message = capsys.readouterr().err
    assert f"--episodes {tmp_path / 'none'}: there is no such folder" in message
    assert f"--expert {tmp_path / 'nil'}: there is no such folder" in message
    assert not (tmp_path / "run").exists()


def test_run_is_written_neither_outside_run_dir_nor_over_another(arguments, tmp_path, capsys):
    assert train.main([*arguments(), "--run-id", "../x"]) == 2
    assert "--run-id '../x' must be a name without a folder" in capsys.readouterr().err
    assert train.main(arguments(steps=1)) == 0
    before = result_of(tmp_path)
    assert train.main(arguments(steps=1)) == 2
    assert f"{tmp_path / 'run'}: a run is there already (PUBLISHED): name a new folder" in capsys.readouterr().err
    assert result_of(tmp_path) == before


def test_store_that_is_no_folder_is_reported_before_training(arguments, tmp_path):
    (tmp_path / "adapters").write_text("")
    assert train.main(arguments()) == 2
    result = result_of(tmp_path)
    assert result["steps"] == 0
    assert "adapters cannot be listed" in result["message"]


def test_a_missing_parent_is_named(arguments, tmp_path):
    assert train.main(arguments(parent=7)) == 2
    assert "adapter 7" in result_of(tmp_path)["message"]


def test_a_parent_of_another_scale_is_rejected(arguments, tmp_path):
    train.main(arguments("first"))
    assert train.main(arguments("second", parent=1, start_from="serving", lora_alpha=32.0)) == 2
    message = result_of(tmp_path, "second")["message"]
    assert "lora_alpha" in message
    assert "start_from = base (config/trainer.yaml)" in message


def test_a_missing_checkpoint_is_named(arguments, tmp_path):
    assert train.main(arguments(checkpoint_dir=str(tmp_path / "nothing"))) == 2
    assert "CheckpointError" in result_of(tmp_path)["message"]


def test_a_wrong_configuration_lists_every_fault(arguments, capsys):
    assert train.main(arguments(steps=-1, method="sarsa", batchsize=1)) == 2
    assert "3 fault(s)" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_publishes_nothing(arguments, tmp_path, number):
    command = [sys.executable, "-m", "apo_trainer.train", *arguments(steps=1_000_000)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    with process:
        for line in process.stdout:
            if json.loads(line)["event"] == "progress":
                process.send_signal(number)
                break
        rest = process.stdout.read()
    assert process.returncode == 130
    assert json.loads(rest.splitlines()[-1])["state"] == "INTERRUPTED"
    assert result_of(tmp_path)["state"] == "INTERRUPTED"
    assert result_of(tmp_path)["steps"] >= 1
    assert published(tmp_path) == []
