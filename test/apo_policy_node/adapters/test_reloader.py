"""Adapters are verified, tried in the second slot and swapped, or rejected while the old one still serves."""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from apo_core import policy_probe
from apo_core.adapters.promotion import Promotion
from apo_policy_node.adapters.reloader import ReloadState, StagedAdapter

RECORD = {"probe": policy_probe.PROBE, "instruction": "lift"}


def test_a_staged_adapter_serves_only_after_the_swap(reloader, policy, publish):
    publish(0.5)
    staged = reloader.stage(1)

    assert isinstance(staged, StagedAdapter)
    assert (policy.bias, policy.adapter_version) == (0.0, 0)
    result = reloader.swap(staged)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)
    assert (result.state, result.version, result.requested_version, result.reason) == (ReloadState.LOADED, 1, 1, "")


def test_a_second_rollback_undoes_the_first(reloader, policy, store, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    assert reloader.roll_back().reason == "nothing has served before version 1 since the start"
    reloader.swap(reloader.stage(2))
    shutil.rmtree(store.path / "000001")
    result = reloader.roll_back()

    assert (result.state, result.version, result.requested_version) == (ReloadState.LOADED, 1, 1)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)
    assert reloader.roll_back().version == 2
    assert policy.bias == 0.75


def test_an_adapter_that_is_loaded_again_does_not_replace_the_way_back(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    reloader.swap(reloader.stage(2))
    assert reloader.swap(reloader.stage(2)).state == ReloadState.LOADED

    assert (reloader.roll_back().version, policy.bias) == (1, 0.5)


def test_a_rollback_leads_back_to_the_base_policy(reloader, policy, publish):
    publish(0.5)
    reloader.load(0)
    reloader.swap(reloader.stage(1))

    assert (reloader.roll_back().version, policy.bias) == (0, 0.0)


def test_a_rejection_changes_nothing_about_the_way_back(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    publish(name="other")
    reloader.load(1)
    reloader.swap(reloader.stage(2))
    assert reloader.stage(3).state == ReloadState.REJECTED

    assert reloader.roll_back().version == 1


def test_a_swap_that_fails_half_way_leaves_what_served(reloader, policy, publish):
    publish(0.5)
    publish(0.75)
    reloader.load(1)
    staged, good = reloader.stage(2), policy.swap

    def broken(value, version):
        good(value, version)
        policy.swap = good
        raise RuntimeError("device lost")

    policy.swap = broken
    result = reloader.swap(staged)

    assert (result.state, result.reason, result.version) == (ReloadState.REJECTED, "RuntimeError: device lost", 1)
    assert (policy.bias, policy.adapter_version) == (0.5, 1)


def test_old_action_labels_warn_while_their_adapter_serves(reloader, policy, publish):
    publish(0.5, action_labels="rebinned")
    publish(0.75)
    warning = (
        "adapter 1 was trained before saturated actions kept their tokens (action_labels = rebinned); train it again"
    )
    result = reloader.load(1)
    assert (result.state, result.version, result.reason, policy.bias) == (ReloadState.LOADED, 1, warning, 0.5)
    assert reloader.warning == warning
    assert reloader.swap(reloader.stage(2)).reason == reloader.warning == ""
    assert reloader.roll_back().reason == reloader.warning == warning
    assert reloader.swap(reloader.stage(0)).reason == reloader.warning == ""


def test_times_come_from_the_clock_passed_in(reloader, clock, publish):
    publish()
    clock.step = 0.002
    result = reloader.load(1)

    assert result.stage_ms == pytest.approx(2.0)
    assert result.swap_ms == pytest.approx(2.0)


def test_version_0_is_the_base_policy(reloader, policy, publish):
    publish()
    reloader.load(1)
    result = reloader.load(0)

    assert (result.state, result.version) == (ReloadState.LOADED, 0)
    assert (policy.bias, policy.adapter_version) == (0.0, 0)


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        ({"base_model_sha256": "1" * 64}, "base_model_sha256 = 111111111111... is not that of the policy's base model"),
        ({"statistics_sha256": "2" * 64}, "statistics_sha256 = 222222222222... is not that of the policy's statistics"),
        ({"contract_sha256": "3" * 64}, "contract_sha256 = 333333333333... is not that of test contract"),
        ({"name": "other"}, r"adapter does not fit: \['other'\]"),
        ({"bias": np.nan}, "not finite"),
        ({"config": {"peft_type": "LORA", "r": 8, "lora_alpha": 32}}, "lora_alpha = 32, the policy has 16"),
        (
            {"self_test": {"probe": policy_probe.PROBE, "instruction": "lift", "values": [[9.0] * 7] * 4}},
            "0% of the values",
        ),
        ({"self_test": RECORD | {"values": [[1.5] * 7]}}, r"shape \(4, 7\)"),
        ({"self_test": {"probe": policy_probe.PROBE}}, "record in the manifest cannot be read"),
    ],
)
def test_an_adapter_of_another_policy_is_rejected(reloader, policy, publish, adapter, reason):
    publish(0.25)
    reloader.load(1)
    publish(**adapter)
    result = reloader.load(2)

    assert result.state == ReloadState.REJECTED
    assert (result.version, result.requested_version) == (1, 2)
    assert re.search(reason, result.reason)
    assert (policy.bias, policy.adapter_version) == (0.25, 1)


def test_a_damaged_adapter_is_rejected(reloader, store, publish):
    publish()
    path = store.path / "000001" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    result = reloader.load(1)

    assert result.state == ReloadState.REJECTED
    assert "the manifest lists" in result.reason


def test_a_version_not_in_the_store_is_rejected(reloader):
    assert "adapter 4 in" in reloader.load(4).reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: dataclasses.replace(c, values=c.values * np.inf), "not finite"),
        (lambda c: dataclasses.replace(c, values=np.ones_like(c.values)), "does not look at its images"),
    ],
)
def test_an_adapter_that_fails_in_the_second_slot_never_reaches_the_policy(
    reloader, policy, second, publish, change, reason
):
    publish()
    second.change = change
    result = reloader.load(1)

    assert result.state == ReloadState.REJECTED
    assert reason in result.reason
    assert (policy.adapter_version, policy.predicted) == (0, [])


def test_an_adapter_that_answers_as_its_trainer_recorded_is_loaded(reloader, contract, second, publish):
    second.bias = 0.5
    recorded = policy_probe.record(second.predict, contract, "lift")
    publish(0.5, self_test=recorded)

    assert reloader.load(1).state == ReloadState.LOADED


def test_an_unexpected_error_rejects_the_adapter(reloader, policy, publish):
    publish()

    def broken(tensors):
        raise MemoryError("no room")

    policy.stage = broken
    result = reloader.load(1)

    assert (result.state, result.reason) == (ReloadState.REJECTED, "MemoryError: no room")


def test_poll_names_what_is_promoted_once_a_promotion(reloader):
    none, first, third, back, again = (
        Promotion(),
        Promotion(number=1, sequence=1),
        Promotion(number=3, sequence=2),
        Promotion(number=1, sequence=3),
        Promotion(number=1, sequence=4),
    )
    polled = [reloader.poll(promotion) for promotion in (none, first, first, third, back, third, again)]
    assert polled == [None, 1, None, 3, 1, None, 1]


def test_a_pointer_that_counts_from_the_start_again_is_followed(reloader):
    deleted, anew = Promotion(), Promotion(number=2, sequence=1, changed_utc="2026-01-05T00:00:02+00:00")
    before = Promotion(number=1, sequence=7, changed_utc="2026-01-05T00:00:01+00:00")
    polled = [reloader.poll(promotion) for promotion in (before, deleted, anew, anew)]
    assert polled == [1, None, 2, None]


def test_poll_does_not_try_a_rejected_version_again(reloader, store, publish):
    publish(name="other")

    assert reloader.poll(store.promotion()) == 1
    assert reloader.load(1).state == ReloadState.REJECTED
    assert reloader.poll(store.promotion()) is None
    publish()
    assert reloader.poll(store.promotion()) == 2


def test_a_request_for_an_older_version_holds_until_the_next_promotion(reloader, store, publish):
    publish()
    publish()
    reloader.pass_over()
    reloader.load(1)

    assert reloader.poll(store.promotion()) is None
    publish()
    assert reloader.poll(store.promotion()) == 3
