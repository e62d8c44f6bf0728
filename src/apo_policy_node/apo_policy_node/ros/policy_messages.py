"""Messages of the policy node: the uncertainty of its actions, the adapter that serves, the trial of another one."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Time

from apo_core.adapters.trial import Trial, TrialOutcome
from apo_core.contract.contract import Contract
from apo_core.ros.conversions import to_ns, to_stamp
from apo_interfaces.msg import ActionDoubt, AdapterStatus, AdapterTrial, EpisodeEvent
from apo_policy_node.adapters.reloader import ReloadResult
from apo_policy_node.adapters.staged_promotion import EpisodeChange, EpisodeReport
from apo_policy_node.inference.uncertainty import Uncertainty


def uncertainty_to_msg(uncertainty: Uncertainty, contract: Contract, help_entropy: float) -> ActionDoubt:
    """The message of a new chunk's uncertainty."""
    message = ActionDoubt(
        adapter_version=uncertainty.adapter_version,
        log_prob=uncertainty.log_prob,
        entropy=uncertainty.entropy,
        help_entropy=help_entropy,
        help_wanted=uncertainty.help_wanted,
    )
    message.header.stamp, message.header.frame_id = to_stamp(uncertainty.observation_stamp_ns), contract.frame_id
    return message


def reloaded_to_msg(result: ReloadResult, stamp: Time) -> AdapterStatus:
    """The message of the result of a request for an adapter."""
    message = AdapterStatus(
        state=str(result.state),
        version=result.version,
        requested_version=result.requested_version,
        reason=result.reason,
        stage_ms=result.stage_ms,
        swap_ms=result.swap_ms,
    )
    message.header.stamp = stamp
    return message


def trial_to_msg(trial: Trial, stamp: Time) -> AdapterTrial:
    """The message of a trial's state."""
    shadow, evidence = trial.shadow, trial.evidence
    own, other = trial.counts(trial.candidate), trial.counts(trial.serving)
    message = AdapterTrial(
        candidate=trial.candidate,
        serving=trial.serving,
        stage=str(trial.stage),
        reason=trial.reason,
        shadow_steps=shadow.steps,
        shadow_disagreement=shadow.disagreement,
        shadow_corrections=shadow.corrections,
        shadow_error=shadow.error,
        shadow_serving_error=shadow.serving_error,
        candidate_successes=own[0],
        candidate_episodes=sum(own),
        serving_successes=other[0],
        serving_episodes=sum(other),
        void_episodes=sum(episode.outcome is TrialOutcome.VOID for episode in trial.episodes),
        takeovers_in_a_row=trial.takeovers_in_a_row,
        log_e_better=evidence.better,
        log_e_worse=evidence.worse,
        log_e_needed=-math.log(trial.limits.trial_alpha),
    )
    message.header.stamp = stamp
    return message


def episode_from_msg(message: EpisodeEvent) -> EpisodeReport | None:
    """An event of the recorder; None for one that is unknown."""
    if message.event not in list(EpisodeChange):
        return None
    known = message.outcome in (TrialOutcome.SUCCESS, TrialOutcome.FAILURE)
    return EpisodeReport(
        EpisodeChange(message.event),
        message.episode_id,
        TrialOutcome(message.outcome) if known else TrialOutcome.VOID,
        message.takeovers,
        tuple(message.adapter_versions),
        to_ns(message.begin),
    )
