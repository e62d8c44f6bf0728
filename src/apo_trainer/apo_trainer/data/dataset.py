"""The training data of a run: samples from episode files and their held-out split. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from apo_core.contract.contract import Contract
from apo_core.errors import EpisodeFormatError
from apo_core.types import EpisodeKind
from apo_episodes.episode import Episode
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_episodes.takeover_windows import Window, fitted_window, window_statistics
from apo_trainer.data.episode_data import episode_data
from apo_trainer.data.episode_files import RejectedEpisode, is_trained_on
from apo_trainer.data.report import DataReport, count_by_adapter, count_by_class, token_counts
from apo_trainer.data.samples import EpisodeData, Sample, SampleClass, TrainingDataError
from apo_vla.actions.codec import ActionCodec


@dataclass(frozen=True)
class TrainingData:
    """Samples to train on, samples never trained on, and rejected files."""

    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    episode_ids: tuple[str, ...]  # trained on
    held_out_ids: tuple[str, ...]
    rejected: tuple[RejectedEpisode, ...]
    contract: Contract | None = None  # of the episodes; None without any
    instruction: str = ""  # of the last episode
    rule: LabelRule = field(default_factory=LabelRule)  # that the steps are labelled by
    windows: tuple[Window, ...] = ()  # of undesirable steps, of all episodes
    k_fit: Mapping[str, Any] | None = None  # statistics of the windows that gave K; None: a fixed K
    rest_steps_left_out: int = 0  # human steps that are no corrections, because the operator rested

    def known_contract(self) -> Contract:
        """The contract of the episodes. Raises TrainingDataError: there are none."""
        if self.contract is None:
            raise TrainingDataError("there is no episode to train on")
        return self.contract

    @property
    def undesirable_by_adapter(self) -> dict[str, int]:
        """Undesirable steps that are trained on, by the adapter that took them; its number as text."""
        return count_by_adapter(self.train)[SampleClass.UNDESIRABLE]

    def report(self, codec: ActionCodec | None = None) -> DataReport:
        """How many samples of each class there are, whose tokens they have, and which files were rejected.

        Args:
            codec: of the policy that is trained; without it tokens are not counted.
        """
        return DataReport(
            train_samples=count_by_class(self.train),
            train_samples_by_adapter=count_by_adapter(self.train),
            held_out_samples=count_by_class(self.held_out),
            policy_tokens=None if codec is None else token_counts(self.train, codec),
            train_episodes=len(self.episode_ids),
            held_out_episodes=self.held_out_ids,
            label_rule=self.rule,
            undesirable_windows=window_statistics(self.windows, self.rule.undesirable_rule),
            k_fit=self.k_fit,
            rejected=self.rejected,
            rest_steps_left_out=self.rest_steps_left_out,
        )


def hash_fraction(episode: EpisodeData) -> float:
    """A fixed number in [0, 1) for what happened in an episode."""
    return int(episode.fingerprint[:16], 16) / 2**64


def held_out_ids(episodes: Sequence[EpisodeData], share: float) -> tuple[str, ...]:
    """Ids of episodes to keep out of training: those whose hash falls below `share`, whatever else there is.

    When that leaves out no interaction with undesirable steps, the one of them with the smallest hash is kept out, so
    that there is something to evaluate on; likewise for demonstrations. Neither rule ever keeps out an episode that an
    earlier round of a growing set trained on. Of fewer than three episodes none is kept out but by its own hash.

    When every takeover would be kept out, the one with the largest hash is trained on, since there is no preference to
    learn without it; it is kept out again in a later round that has another takeover to train on.
    """
    if share <= 0:
        return ()
    chosen = {e.episode_id for e in episodes if hash_fraction(e) < share}
    groups = (
        [e for e in episodes if e.kind == EpisodeKind.INTERACTION and SampleClass.UNDESIRABLE in e.classes],
        [e for e in episodes if e.kind == EpisodeKind.DEMONSTRATION],
    )
    for group in groups:
        if len(group) >= 3 and not any(e.episode_id in chosen for e in group):
            chosen.add(min(group, key=hash_fraction).episode_id)
    takeovers = [
        e
        for e in episodes
        if e.kind == EpisodeKind.INTERACTION and {SampleClass.HUMAN, SampleClass.UNDESIRABLE} & set(e.classes)
    ]
    if takeovers and all(e.episode_id in chosen for e in takeovers):
        chosen.remove(max(takeovers, key=hash_fraction).episode_id)
    return tuple(sorted(chosen))


def load_training_data(
    paths: Iterable[Path],
    rule: LabelRule,
    horizon: int,
    held_out_share: float,
    contract_sha256: str,
    undesirable_version: int | None = None,
    k_from: str = "fixed",
    held_out_of: str = "all",
) -> TrainingData:
    """Reads episode files, in the given order; a bad file is rejected and the rest is used.

    Args:
        paths: episode files.
        rule: how steps are labelled.
        horizon: rows of the policy's action chunk.
        held_out_share: 0..1.
        contract_sha256: contract of the policy; episodes recorded under another one are rejected.
        undesirable_version: only undesirable steps of this adapter are trained on; None takes those of all. What is
            held out does not depend on it.
        k_from: "fixed", or the rule whose windows in these episodes give K (`fitted_window`).
        held_out_of: episodes that may be held out; "interactions" trains on every demonstration, "all" does not.
    """
    read, rejected = _read(paths, contract_sha256)
    k_fit = None
    if k_from != "fixed":
        rule, k_fit = _fitted_rule(read, rule, k_from)
    episodes: dict[str, EpisodeData] = {}
    windows: list[Window] = []
    rests = 0
    contract = None
    for episode in read:
        name = episode.info.episode_id
        try:
            if name in episodes:
                raise EpisodeFormatError(f"{episode.path}: same episode id as {episodes[name].path}: {name}")
            episodes[name] = episode_data(episode, rule, horizon)
        except EpisodeFormatError as error:
            rejected.append(RejectedEpisode.because(episode.path, error))
            continue
        windows += episode.undesirable_windows(rule)
        rests += episode.rest_steps_left_out(rule)
        contract = episode.contract
    candidates = [e for e in episodes.values() if held_out_of == "all" or e.kind == EpisodeKind.INTERACTION]
    out = set(held_out_ids(candidates, held_out_share))
    samples = [
        Sample(episode, step, sample_class)
        for episode in episodes.values()
        for step, sample_class in enumerate(episode.classes)
        if sample_class is not None
    ]
    return TrainingData(
        train=tuple(
            s
            for s in samples
            if s.episode.episode_id not in out
            and (s.desirable or undesirable_version in (None, int(s.episode.adapter_versions[s.step])))
        ),
        held_out=tuple(s for s in samples if s.episode.episode_id in out),
        episode_ids=tuple(name for name in episodes if name not in out),
        held_out_ids=tuple(sorted(out)),
        rejected=tuple(rejected),
        contract=contract,
        instruction=next((e.instruction for e in reversed(episodes.values())), ""),
        rule=rule,
        windows=tuple(windows),
        rest_steps_left_out=rests,
        k_fit=k_fit,
    )


def _read(paths: Iterable[Path], contract_sha256: str) -> tuple[list[Episode], list[RejectedEpisode]]:
    """Episodes, without images, that may be trained on, and the files that may not."""
    episodes, rejected = [], []
    for path in paths:
        try:
            episode = read_episode(path, images=False)
            if episode.contract.sha256 != contract_sha256:
                raise EpisodeFormatError(
                    f"{path}: recorded under contract {episode.contract.sha256[:12]}, "
                    f"the policy has {contract_sha256[:12]}"
                )
            if not is_trained_on(episode.info):
                raise EpisodeFormatError(
                    f"{path}: recorded for {episode.info.tags['purpose']}, which is never trained on"
                )
            episodes.append(episode)
        except EpisodeFormatError as error:
            rejected.append(RejectedEpisode.because(path, error))
    return episodes, rejected


def _fitted_rule(episodes: Sequence[Episode], rule: LabelRule, k_from: str) -> tuple[LabelRule, dict[str, Any]]:
    """`rule` with the median window of the rule `k_from` as its K, and what is known of those windows.

    Where no takeover has the facts that `k_from` needs, the rule keeps its K.
    """
    other = replace(rule, undesirable_rule=k_from)
    distinct = {episode.info.episode_id: episode for episode in episodes}.values()
    windows = [window for episode in distinct for window in episode.undesirable_windows(other)]
    k = fitted_window(windows)
    fitted = rule if k is None else replace(rule, undesirable_steps=k, undesirable_seconds=0.0)
    return fitted, window_statistics(windows, k_from)
