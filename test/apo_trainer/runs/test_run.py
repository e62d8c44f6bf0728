"""A run as a function: its result wherever it ends."""

import json
from dataclasses import replace

import pytest

from apo_core.adapters.store import AdapterStore
from apo_core.config.parameters import build, parameter_values
from apo_trainer.config import TrainerConfig
from apo_trainer.runs.run import run


@pytest.fixture
def config(checkpoint, interactions, tmp_path) -> TrainerConfig:
    """A run of three steps that the gate lets pass."""
    return build(
        TrainerConfig,
        {
            "checkpoint_dir": str(checkpoint),
            "episode_dir": str(interactions),
            "expert_dir": str(tmp_path / "expert"),
            "adapter_dir": str(tmp_path / "adapters"),
            "steps": 3,
            "batch_size": 8,
            "warmup_steps": 0,
            "undesirable_steps": 3,
            "method": "apo",
            "lora_rank": 2,
            "gate_l1_tolerance": 100.0,
            "gate_rise_nats": -1000.0,
            "gate_fall_nats": -1000.0,
            "gate_edge_rise": 1.0,
            "threads": 1,
        },
        "test",
    )


@pytest.fixture
def start(config, tmp_path):
    """Runs; returns the result and the messages."""

    def make(should_stop=lambda: False, gated=True, **changes):
        messages = []
        changed = build(TrainerConfig, {**parameter_values(config), **changes}, "test")
        result = run(changed, 0, (), tmp_path / "run", "run", messages.append, should_stop, gated=gated)
        assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.as_dict()
        assert messages[-1] == {"event": "result", **result.as_dict()}
        return result, messages

    return make


def stop_after(count: int):
    """Asks for a stop from call number `count` on."""
    calls = iter(range(10_000))
    return lambda: next(calls) >= count


def test_published_run_has_every_stage_in_its_result(start, tmp_path):
    result, messages = start()
    assert (result.state, result.version, result.steps, result.planned_steps) == ("PUBLISHED", 1, 3, 3)
    assert result.verdict.accepted
    assert result.data.train_episodes + len(result.data.held_out_episodes) == 8
    assert sum(result.batch.values()) == 8
    assert result.metrics["step"] == 3
    assert result.metrics == {
        name: value for name, value in messages[-2].items() if name not in ("event", "steps", "eta_s")
    }
    events = [message["event"] for message in messages if message["event"] != "check"]
    assert events == ["start", *["progress"] * 3, "result"]
    assert AdapterStore(tmp_path / "adapters").versions() == [1]


@pytest.mark.parametrize(("gated", "state", "version"), [(True, "REJECTED", None), (False, "PUBLISHED", 1)])
def test_rejected_adapter_is_published_without_gate_alone(start, gated, state, version):
    result, _ = start(gated=gated, gate_rise_nats=1e6)
    assert (result.state, result.version, result.verdict.accepted) == (state, version, False)


def test_stop_before_the_first_file_leaves_no_stage(start):
    result, messages = start(stop_after(0))
    assert (result.state, result.steps, result.data, result.processes) == ("INTERRUPTED", 0, None, None)
    assert [message["event"] for message in messages] == ["result"]


def test_stop_between_steps_keeps_what_is_known(start, tmp_path):
    # 8 files, the policy, the trainer, then one after each step
    result, _ = start(stop_after(8 + 2 + 1))
    assert (result.state, result.steps, result.verdict) == ("INTERRUPTED", 2, None)
    assert result.data is not None
    assert (result.metrics, result.train_seconds, result.notes) == ({}, None, ())
    assert (tmp_path / "run" / "progress.safetensors").is_file()


def test_failure_names_its_cause(start):
    result, _ = start(checkpoint_dir="nowhere")
    assert (result.state, result.version) == ("FAILED", None)
    assert result.message.startswith("CheckpointError: ")
    assert result.processes == 1
