"""What requests help, as it is configured."""

import dataclasses

import pytest

from apo_core.adapters.calibration import HelpCalibration
from apo_core.adapters.calibration_file import identity, write_calibration
from apo_core.adapters.store import AdapterStore
from apo_core.help.score import HelpScore, Weight
from apo_policy_node.config import PolicyConfig
from apo_policy_node.help_rule import HelpRule

CONFIG = PolicyConfig(instruction="lift", help_entropy=1.0, help_chunks=1, replan_steps=2)


@pytest.fixture
def store(tmp_path) -> AdapterStore:
    return AdapterStore(tmp_path / "adapters")


def test_entropy_needs_no_calibration(policy, contract, store, observe):
    reports: list[str] = []
    rule = HelpRule(CONFIG, contract, policy, store, reports.append)
    rule.start()
    found = rule.request.evaluate(policy.predict(observe(0)), observe(0).state, False)

    assert (found.help_wanted, rule.warning, reports) == (True, "", [])
    rule.stop()


def test_a_calibrated_rule_uses_the_calibration_of_the_policy(policy, contract, store, observe):
    who = identity(store, 0, policy.base_sha256, policy.statistics_sha256, contract.sha256)
    score = HelpScore({"entropy": Weight(0.0, 1.0, 1.0)}, 0.0, 2.5)
    write_calibration(store.path, HelpCalibration(who, 2, 0, score, 0.1, 2.0, {}, "2026-01-02"))
    rule = HelpRule(dataclasses.replace(CONFIG, help_rule="calibrated"), contract, policy, store, lambda text: None)
    rule.start()
    found = [rule.request.evaluate(policy.predict(observe(0)), observe(0).state, False)]
    policy.entropy = 3.0
    found.append(rule.request.evaluate(policy.predict(observe(2)), observe(2).state, True))
    rule.stop()

    assert [(each.score, each.help_wanted) for each in found] == [(2.0, False), (3.0, True)]
    assert rule.warning == ""


def test_without_a_calibration_it_warns_and_uses_the_entropy(policy, contract, store, observe):
    reports: list[str] = []
    rule = HelpRule(dataclasses.replace(CONFIG, help_rule="calibrated"), contract, policy, store, reports.append)
    rule.start()
    found = rule.request.evaluate(policy.predict(observe(0)), observe(0).state, False)
    rule.stop()

    assert found.help_wanted
    assert rule.warning.startswith("help_rule = 'calibrated', but the base policy has no calibration: ./apo help")
    assert reports == [rule.warning]
