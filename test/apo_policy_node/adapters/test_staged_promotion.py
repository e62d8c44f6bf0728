"""Candidates of a store: shadow, drawn episodes, promotion or rollback, and what survives."""

import json
import os
import stat
from collections import deque

import numpy as np
import pytest

from apo_core.adapters.trial import Stage, TrialLimits, TrialOutcome
from apo_core.adapters.trial_file import claimed
from apo_policy_node.adapters.shadow import Shadow
from apo_policy_node.adapters.staged_promotion import EpisodeChange, EpisodeReport, StagedPromotion, TrialMeans
from apo_policy_node.inference.runner import Answer, Cause

NOW = "2026-01-02T03:04:05+00:00"
LIMITS = TrialLimits(shadow_steps=2, trial_takeovers=3)


class Robot:
    """A policy with a store, and a recorder whose episodes are played by hand."""

    def __init__(self, reloader, store, contract, policy, limits=LIMITS):
        self.reloader, self.store, self.policy = reloader, store, policy
        self.now_ns = 1_000
        self.draws: deque[float] = deque()
        self.swaps: list[int] = []
        self.delayed = False  # swaps wait in `waiting`
        self.waiting: list = []
        self.reports, self.rejections, self.states = [], [], []
        self.shadow = Shadow(contract, lambda: None)
        self.staged = StagedPromotion(
            reloader,
            store,
            limits,
            self.shadow,
            TrialMeans(
                self._serve,
                lambda job: job(),
                lambda: self.now_ns,
                lambda: NOW,
                self.draws.popleft,
                self.states.append,
                self.reports.append,
                self.rejections.append,
            ),
        )
        self._episodes = 0

    @property
    def trial(self):
        return self.staged.trial

    def _serve(self, adapter, done) -> None:
        def swap():
            self.swaps.append(adapter.version)
            done(self.reloader.swap(adapter))

        self.waiting.append(swap) if self.delayed else swap()

    def report(self, change: EpisodeChange, name: str, **facts) -> None:
        self.staged.on_episode(EpisodeReport(change, name, **facts))

    def answer(self, observation) -> None:
        """The policy answers, then the candidate in its shadow."""
        self.shadow.observed(observation)
        chunk = self.policy.predict(observation)
        self.shadow.answered(Answer(observation.stamp_ns, chunk, Cause.CHUNK_USED))
        self.staged.step_shadow()

    def episode(self, draw: float | None, success: bool = True, takeovers: int = 0, versions=None) -> None:
        """An episode from start to file; `draw` is of the one after it, None where none is needed."""
        name = f"e{self._episodes}"
        self._episodes += 1
        driven = (self.policy.adapter_version,) if versions is None else versions
        self.report(EpisodeChange.STARTED, name)
        begin_ns = self.now_ns
        self.now_ns += 1_000
        if draw is not None:
            self.draws.append(draw)
        self.report(EpisodeChange.ENDED, name)
        self.now_ns += 1_000
        outcome = TrialOutcome.SUCCESS if success else TrialOutcome.FAILURE
        facts = {"outcome": outcome, "takeovers": takeovers, "adapter_versions": driven, "begin_ns": begin_ns}
        self.report(EpisodeChange.SAVED, name, **facts)


@pytest.fixture
def robot(reloader, store, contract, policy) -> Robot:
    """Its store is empty, the base policy serves."""
    return Robot(reloader, store, contract, policy)


@pytest.fixture
def canary(robot, publish, observe) -> Robot:
    """Adapter 1 is out of its shadow, and the next episode is its own."""
    publish(0.5)
    robot.staged.look()
    for tick in range(2):
        robot.answer(observe(tick))
    robot.episode(draw=0.0)
    return robot


@pytest.fixture
def publish(publish, store):
    """Publishes without a promotion, as a trainer with promote: false."""

    def make(bias: float, **changes) -> int:
        number = publish(bias, **changes)
        (store.path / "current.json").unlink(missing_ok=True)
        return number

    return make


def test_nothing_is_on_trial_without_a_candidate(robot):
    robot.staged.look()
    assert robot.trial is None and robot.staged.fault == ""


def test_a_candidate_answers_in_the_shadow_and_nothing_is_executed(robot, publish, observe, store, policy):
    publish(0.5)
    robot.staged.look()
    assert (robot.trial.candidate, robot.trial.serving, robot.trial.stage) == (1, 0, Stage.SHADOW)
    robot.answer(observe(0))
    assert robot.trial.shadow.steps == 1 and robot.trial.shadow.disagreement == pytest.approx(0.5)
    assert robot.swaps == [] and policy.adapter_version == 0
    robot.answer(observe(1))
    assert robot.trial.stage is Stage.CANARY
    assert store.trial(1) == robot.trial == robot.states[-1]


def test_corrections_of_the_operator_are_counted(robot, publish, observe):
    publish(0.5)
    robot.staged.look()
    robot.shadow.driven(observe(0, 0).stamp_ns, np.full(7, 0.5, np.float32))
    robot.answer(observe(0, 0))
    shadow = robot.trial.shadow
    assert (shadow.corrections, shadow.error, shadow.serving_error) == (1, 0.0, 0.5)


def test_a_candidate_without_an_action_is_dropped(robot, publish, observe, second, policy):
    publish(0.5)
    robot.staged.look()
    second.change = lambda chunk: "nothing"
    robot.answer(observe(0))
    assert robot.trial.stage is Stage.ROLLED_BACK
    assert robot.trial.reason.startswith("no action in the shadow: the policy returned str")
    assert policy.adapter_version == 0 and robot.reports[-1].startswith("adapter 1 rolled back: no action")


def test_a_candidate_that_cannot_be_loaded_is_dropped_and_reported(robot, publish):
    publish(float("nan"))
    robot.staged.look()
    assert robot.trial.stage is Stage.ROLLED_BACK and "not finite" in robot.trial.reason
    assert [result.requested_version for result in robot.rejections] == [1]
    robot.staged.look()
    assert len(robot.rejections) == 1


def test_the_drawn_adapter_serves_from_the_end_of_an_episode_on(canary, store, policy):
    assert policy.adapter_version == 1
    assert store.trial(1).waiting.version == 1
    canary.episode(draw=0.9)
    assert policy.adapter_version == 0
    assert canary.trial.counts(1) == (1, 0)
    # the draw of the same adapter is served as well: no episode waits longer for one draw than for the other
    canary.episode(draw=0.9)
    assert canary.swaps == [1, 0, 0]


def test_a_better_candidate_is_promoted(canary, store):
    for _ in range(8):
        if canary.trial.is_open:
            canary.episode(draw=0.9)
        if canary.trial.is_open:
            canary.episode(draw=0.0, success=False)
    assert canary.trial.stage is Stage.PROMOTED and canary.trial.reason.startswith("better than the base policy")
    promotion = store.promotion()
    assert (promotion.number, promotion.reason, promotion.changed_utc) == (1, canary.trial.reason, NOW)
    canary.staged.followed(1)
    assert canary.trial.stage is Stage.PROMOTED
    assert [line for line in canary.reports if "without a trial" in line] == []


def test_takeovers_in_a_row_bring_the_policy_of_before_back_at_once(canary, store, policy):
    for _ in range(3):
        assert policy.adapter_version == 1
        canary.episode(draw=0.0, takeovers=1)
    assert canary.trial.stage is Stage.ROLLED_BACK and policy.adapter_version == 0
    assert store.promotion().number == 0
    canary.staged.look()
    assert canary.trial.stage is Stage.ROLLED_BACK  # it gets no second trial


@pytest.mark.parametrize(("change", "outcome"), [("DISCARDED", "SUCCESS"), ("FAILED", "SUCCESS"), ("SAVED", "VOID")])
def test_an_episode_without_an_outcome_counts_for_nothing(canary, change, outcome):
    canary.draws.append(0.0)
    canary.report(EpisodeChange.STARTED, "x")
    canary.report(EpisodeChange.ENDED, "x")
    facts = {"outcome": TrialOutcome(outcome), "begin_ns": canary.now_ns}
    canary.report(EpisodeChange(change), "x", **facts)
    assert canary.trial.counts(1) == (0, 0) and canary.trial.episodes[0].outcome is TrialOutcome.VOID
    assert canary.trial.waiting is not None


def test_an_episode_that_is_taken_back_counts_no_more(canary):
    canary.episode(draw=0.9)
    assert canary.trial.counts(1) == (1, 0)
    canary.report(EpisodeChange.DISCARDED, "e1")
    assert canary.trial.counts(1) == (0, 0)


def test_an_episode_of_another_adapter_is_void(canary):
    canary.episode(draw=0.0, versions=(0, 1))
    assert canary.trial.episodes[0].reason == "the base policy drove in it"


@pytest.mark.parametrize("draw", [0.0, 0.9])
def test_an_episode_that_began_before_its_adapter_served_is_void(canary, draw):
    canary.delayed = True
    canary.episode(draw=draw)
    assert canary.trial.counts(1) == (1, 0)
    canary.report(EpisodeChange.STARTED, "x")
    begin_ns = canary.now_ns
    canary.now_ns += 500
    canary.waiting.pop()()
    canary.draws.append(draw)
    canary.report(EpisodeChange.ENDED, "x")
    versions = (1 if draw == 0.0 else 0,)
    facts = {"outcome": TrialOutcome.SUCCESS, "adapter_versions": versions, "begin_ns": begin_ns}
    canary.report(EpisodeChange.SAVED, "x", **facts)
    assert canary.trial.episodes[1].reason == "it began before the drawn adapter served"


def test_a_swap_of_an_earlier_trial_is_not_one_of_the_next(canary, publish, observe):
    canary.delayed = True
    canary.episode(draw=0.0)  # place 1 of adapter 1 waits for its swap
    canary.staged.interrupt("a person chose")
    publish(0.7)
    canary.staged.look()
    for tick in range(2):
        canary.answer(observe(tick))
    canary.episode(draw=0.0)
    canary.episode(draw=0.0)  # place 1 of adapter 2
    assert canary.trial.candidate == 2 and len(canary.trial.episodes) == 2
    canary.waiting[0]()  # that of adapter 1
    canary.episode(draw=0.0, versions=(2,))
    assert canary.trial.episodes[1].reason == "it began before the drawn adapter served"


def test_nothing_is_drawn_while_an_episode_runs(canary):
    canary.report(EpisodeChange.STARTED, "x")
    assert canary.trial.wants_draw
    canary.report(EpisodeChange.DISCARDED, "e0")  # the operator takes an earlier one back
    assert canary.trial.wants_draw and canary.swaps == [1]


def test_a_draw_that_cannot_be_written_is_none(canary, store, policy, monkeypatch):
    before = canary.trial
    canary.report(EpisodeChange.STARTED, "x")
    os.rename(store.path / "trials", store.path / "elsewhere")
    (store.path / "trials").write_text("no folder")
    canary.draws.append(0.9)
    canary.report(EpisodeChange.ENDED, "x")
    assert canary.swaps == [1] and len(canary.trial.episodes) == len(before.episodes)
    assert "the trial of adapter 1 cannot be written" in canary.staged.fault
    os.unlink(store.path / "trials")
    os.rename(store.path / "elsewhere", store.path / "trials")
    canary.staged.look()
    assert store.trial(1) == canary.trial
    canary.draws.append(0.9)
    canary.report(EpisodeChange.SAVED, "x", outcome=TrialOutcome.SUCCESS, adapter_versions=(1,), begin_ns=canary.now_ns)
    assert canary.staged.fault == "" and canary.trial.waiting.version == 0
    assert canary.trial.counts(1) == (1, 0)


def test_a_request_of_a_person_ends_the_trial(canary, store):
    canary.staged.interrupt("adapter 3 was requested")
    assert store.trial(1).reason == "adapter 3 was requested" and not canary.trial.is_open
    canary.episode(draw=None)
    canary.staged.look()
    assert canary.trial.candidate == 1 and canary.swaps == [1]


def test_a_promotion_of_others_ends_the_trial_and_is_named(canary, publish, store):
    publish(0.25)
    store.promote(2, NOW, "published by method apo")
    canary.staged.followed(2)
    assert canary.trial.reason == "adapter 2 was promoted meanwhile"
    assert canary.reports[-1].startswith("adapter 2 serves without a trial (published by method apo); a trainer with")


def test_a_new_process_goes_on_where_the_trial_was(canary, reloader, store, contract, policy, observe):
    canary.episode(draw=0.9)
    canary.report(EpisodeChange.STARTED, "running")
    canary.staged.close()
    policy.use_base()
    again = Robot(reloader, store, contract, policy)
    again.reloader.swap(again.reloader.stage(0))
    again.staged.look()
    assert again.trial.stage is Stage.CANARY and again.trial.counts(1) == (1, 0)
    assert again.trial.episodes[1].reason == "the policy node began anew"
    again.episode(draw=0.0)
    assert again.policy.adapter_version == 1


def test_a_decision_is_carried_out_by_the_next_process(canary, reloader, store, contract, policy):
    document = store.path / "trials" / "000001.json"
    content = json.loads(document.read_text())
    content |= {"stage": "promoted", "decided_utc": NOW, "reason": "better"}
    content["episodes"] = []
    canary.staged.close()
    document.write_text(json.dumps(content))
    policy.use_base()
    again = Robot(reloader, store, contract, policy)
    again.reloader.swap(again.reloader.stage(0))
    again.staged.look()
    assert (store.promotion().number, store.promotion().reason) == (1, "better")
    store.roll_back(NOW, "by hand")
    Robot(reloader, store, contract, policy).staged.look()
    assert store.promotion().number == 0


def test_a_candidate_that_another_node_tries_is_left_to_it(robot, publish, store):
    publish(0.5)
    with claimed(store.path, 1) as held:
        assert held
        robot.staged.look()
        assert robot.trial is None and robot.staged.fault == "another policy node has adapter 1 on trial"
    robot.staged.look()
    assert robot.trial.candidate == 1 and robot.staged.fault == ""


def test_the_newest_candidate_is_tried(robot, publish, observe):
    publish(0.5)
    publish(0.25)
    robot.staged.look()
    assert robot.trial.candidate == 2
    robot.staged.interrupt("enough")
    robot.staged.look()
    assert robot.trial.candidate == 2
    publish(0.125)
    robot.staged.look()
    assert robot.trial.candidate == 3


def test_the_trial_is_a_file_of_the_store(canary, store):
    mode = (store.path / "trials" / "000001.json").stat().st_mode
    assert stat.S_ISREG(mode) and store.versions() == [1]
    canary.episode(draw=0.0)
    assert store.prune(1) == []
