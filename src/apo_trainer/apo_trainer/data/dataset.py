"""Training samples from episode files: labels, chunks, the held-out split and balanced batches. No torch."""

from __future__ import annotations

import enum
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from apo_core.contract.contract import Contract
from apo_core.errors import ApoError, EpisodeFormatError
from apo_core.types import ControlSource, EpisodeInfo, EpisodeKind, Observation, Outcome, Purpose, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import list_episodes, read_episode
from apo_episodes.takeover_windows import Window, fitted_window, window_statistics
from apo_vla.actions.codec import ActionCodec


class TrainingDataError(ApoError):
    """There is nothing to train on."""


class SampleClass(enum.StrEnum):
    """What a batch is balanced over."""

    EXPERT = "EXPERT"  # a step of a demonstration
    POLICY = "POLICY"  # desirable policy step of an interaction
    HUMAN = "HUMAN"  # operator's step of an interaction
    UNDESIRABLE = "UNDESIRABLE"  # policy step shortly before a takeover


_SAME_ACTION = 1e-3  # contract units; a limiter's rounding is no disturbance
_OF_THE_POLICY = (SampleClass.POLICY, SampleClass.UNDESIRABLE)  # classes whose action is the policy's own
_CLASS_OF_LABEL = {
    StepLabel.DESIRABLE: SampleClass.POLICY,
    StepLabel.CORRECTED: SampleClass.HUMAN,
    StepLabel.UNDESIRABLE: SampleClass.UNDESIRABLE,
}


@dataclass(frozen=True, slots=True)
class EpisodeData:
    """An episode as training sees it; T steps. Images stay in the file."""

    path: Path
    episode_id: str
    fingerprint: str  # hex, of what happened: the same in a repeated run, whose ids hold other times
    kind: EpisodeKind
    instruction: str
    state: Mapping[str, np.ndarray]  # {key: float32 (T, n)}
    stamps_ns: np.ndarray  # int64 (T,)
    targets: np.ndarray  # float32 (T, A): the operator's action where a person drove, else the policy's own
    policy_actions: np.ndarray  # float32 (T, A): the policy's own, also while a person drove; NaN where it had none
    classes: tuple[SampleClass | None, ...]  # (T,) None: not used
    adapter_versions: np.ndarray  # uint32 (T,): adapter behind the policy's action
    rows: np.ndarray  # int64 (T,): rows from each step on that belong to its chunk, 0 where it is not used
    policy_tokens: np.ndarray | None = None  # int32 (T, A): emitted for policy_actions, -1 unknown; None: not recorded
    outcome: Outcome = Outcome.UNLABELED

    @property
    def is_own_success(self) -> bool:
        """Whether the policy succeeded without a takeover."""
        alone = self.kind == EpisodeKind.INTERACTION and SampleClass.HUMAN not in self.classes
        return alone and self.outcome == Outcome.SUCCESS


@dataclass(frozen=True, slots=True)
class Sample:
    """One observation with the chunk of actions that followed it."""

    episode: EpisodeData
    step: int
    sample_class: SampleClass

    @property
    def key(self) -> str:
        return f"{self.episode.fingerprint}:{self.step}"

    @property
    def desirable(self) -> bool:
        return self.sample_class is not SampleClass.UNDESIRABLE

    def observation(self, images: Mapping[str, np.ndarray]) -> Observation:
        """What the policy saw; `images` are the step's frames, {camera: (H, W, C)}, which stay in the file."""
        state = {name: values[self.step] for name, values in self.episode.state.items()}
        return Observation(int(self.episode.stamps_ns[self.step]), dict(images), state, self.episode.instruction)

    def chunk(self, horizon: int) -> tuple[np.ndarray, np.ndarray]:
        """Actions float32 (horizon, A) and mask bool (horizon,); rows after the cut repeat the last action."""
        return self.episode.targets[self.chunk_steps(horizon)], np.arange(horizon) < self.episode.rows[self.step]

    def chunk_steps(self, horizon: int) -> np.ndarray:
        """The step behind each row of the chunk, int64 (horizon,); rows after the cut repeat the last one."""
        return np.minimum(np.arange(horizon), int(self.episode.rows[self.step]) - 1) + self.step

    def emitted_tokens(self, horizon: int) -> np.ndarray | None:
        """The policy's tokens for `chunk`, int32 (horizon, A), -1 unknown; None where the action is not its own."""
        tokens = self.episode.policy_tokens
        if tokens is None or self.sample_class not in _OF_THE_POLICY:
            return None
        return tokens[self.chunk_steps(horizon)]


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that was not used, and why."""

    path: Path
    reason: str  # without the path

    @classmethod
    def because(cls, path: Path, error: Exception) -> SetAside:
        """Of an error whose text begins with the path, or does not."""
        return cls(Path(path), str(error).removeprefix(f"{path}: "))


@dataclass(frozen=True)
class TrainingData:
    """Samples to train on, samples never trained on, and files set aside."""

    train: tuple[Sample, ...]
    held_out: tuple[Sample, ...]
    episode_ids: tuple[str, ...]  # trained on
    held_out_ids: tuple[str, ...]
    set_aside: tuple[SetAside, ...]
    contract: Contract | None = None  # of the episodes; None without any
    instruction: str = ""  # of the last episode
    rule: LabelRule = field(default_factory=LabelRule)  # that the steps are labelled by
    windows: tuple[Window, ...] = ()  # of undesirable steps, of all episodes
    k_fit: Mapping[str, Any] | None = None  # statistics of the windows that gave K; None: a fixed K

    @property
    def undesirable_by_adapter(self) -> dict[str, int]:
        """Undesirable steps that are trained on, by the adapter that took them; its number as text."""
        return _count_by_adapter(self.train)[SampleClass.UNDESIRABLE]

    def report(self, codec: ActionCodec | None = None) -> dict:
        """Plain data for results: how many samples of each class, whose tokens they have, and what was set aside.

        Args:
            codec: of the policy that is trained; without it nothing is said about tokens.
        """
        return {
            "train_samples": _count(self.train),
            "train_samples_by_adapter": _count_by_adapter(self.train),
            "held_out_samples": _count(self.held_out),
            "policy_tokens": None if codec is None else token_counts(self.train, codec),
            "train_episodes": len(self.episode_ids),
            "held_out_episodes": list(self.held_out_ids),
            "label_rule": asdict(self.rule),
            "undesirable_windows": window_statistics(self.windows, self.rule.undesirable_rule),
            "k_fit": self.k_fit,
            "set_aside": [{"path": str(item.path), "reason": item.reason} for item in self.set_aside],
        }


def _count(samples: Iterable[Sample]) -> dict[str, int]:
    counts = {str(name): 0 for name in SampleClass}
    for sample in samples:
        counts[sample.sample_class] += 1
    return counts


def token_counts(samples: Iterable[Sample], codec: ActionCodec) -> dict[str, int]:
    """Where the tokens of the policy's own steps come from.

    Returns:
        `recorded`: steps with the tokens that the policy emitted; `encoded`: the other ones, whose tokens are made from
        the action; `disagreeing`: those among them whose recorded tokens decode to another action.
    """
    own = [sample for sample in samples if sample.sample_class in _OF_THE_POLICY]
    rows = [(tokens[0], s.chunk(1)[0][0]) for s in own if (tokens := s.emitted_tokens(1)) is not None]
    recorded = known = 0
    if rows:
        tokens, actions = (np.stack(part) for part in zip(*rows, strict=True))
        recorded = int(codec.agree(tokens, actions).sum())
        known = int((tokens >= 0).all(axis=-1).sum())
    return {"recorded": recorded, "encoded": len(own) - recorded, "disagreeing": known - recorded}


def _count_by_adapter(samples: Iterable[Sample]) -> dict[str, dict[str, int]]:
    """Steps of interactions: {class: {adapter that was deployed: number}}; the keys are text, as in JSON."""
    counts: dict[str, Counter[int]] = {str(name): Counter() for name in SampleClass if name is not SampleClass.EXPERT}
    for sample in samples:
        if sample.sample_class is not SampleClass.EXPERT:
            counts[sample.sample_class][int(sample.episode.adapter_versions[sample.step])] += 1
    return {name: {str(version): count for version, count in sorted(part.items())} for name, part in counts.items()}


def chunk_rows(labels: Sequence[StepLabel], ticks: np.ndarray, disturbed: np.ndarray, horizon: int) -> np.ndarray:
    """How many rows of a chunk starting at each step may count, int64 (T,), 0..horizon.

    A chunk ends where the label changes, before a step that is not used (HOLD), at a lost tick, with the episode, and
    after a `disturbed` (T,) step, whose execution was not what the person wanted: from there on the person reacted to
    what no camera had shown at the start of the chunk.
    """
    rows = np.zeros(len(labels), dtype=np.int64)
    for step in range(len(labels) - 1, -1, -1):
        if labels[step] == StepLabel.UNUSED:
            continue
        goes_on = (
            step + 1 < len(labels)
            and labels[step + 1] == labels[step]
            and ticks[step + 1] == ticks[step] + 1
            and not disturbed[step]
        )
        rows[step] = min(horizon, 1 + (rows[step + 1] if goes_on else 0))
    return rows


def episode_data(episode: Episode, rule: LabelRule, horizon: int) -> EpisodeData:
    """Labels an episode and cuts its chunks.

    Args:
        episode: read from its file.
        rule: how steps are labelled.
        horizon: rows of the policy's action chunk.

    Raises:
        EpisodeFormatError: no step, or a step driven by a person without a recorded human action.
    """
    if episode.num_steps == 0:
        raise EpisodeFormatError(f"{episode.path}: has no step")
    human = np.array([source == ControlSource.HUMAN for source in episode.sources])
    missing = np.flatnonzero(human & ~np.isfinite(episode.human_actions).all(axis=1))
    if missing.size:
        raise EpisodeFormatError(f"{episode.path}: step {missing[0]} was driven by HUMAN but has no human action")
    labels = episode.labels(rule)
    disturbed = human & np.any(np.abs(episode.executed_actions - episode.human_actions) > _SAME_ACTION, axis=1)
    demonstration = episode.info.kind == EpisodeKind.DEMONSTRATION
    classes = tuple(
        None if label == StepLabel.UNUSED else SampleClass.EXPERT if demonstration else _CLASS_OF_LABEL[label]
        for label in labels
    )
    return EpisodeData(
        path=episode.path,
        episode_id=episode.info.episode_id,
        fingerprint=fingerprint(episode),
        kind=episode.info.kind,
        instruction=episode.info.instruction,
        state=episode.state,
        stamps_ns=episode.stamps_ns["observation"],
        targets=_targets(episode, human),
        policy_actions=episode.policy_actions.astype(np.float32),
        classes=classes,
        adapter_versions=episode.adapter_versions,
        rows=chunk_rows(labels, episode.ticks, disturbed, horizon),
        policy_tokens=episode.policy_tokens,
        outcome=episode.outcome.outcome,
    )


def _targets(episode: Episode, human: np.ndarray) -> np.ndarray:
    """What each step is trained on: the action that was chosen, not what a limit made of it."""
    chosen = np.where(human[:, None], episode.human_actions, episode.policy_actions)
    known = np.isfinite(chosen).all(axis=1, keepdims=True)
    return np.where(known, chosen, episode.executed_actions).astype(np.float32)


def fingerprint(episode: Episode) -> str:
    """SHA-256 of an episode's task, states, actions and sources, not of its times, name or place."""
    digest = hashlib.sha256(f"{episode.info.kind}\0{episode.info.instruction}\0{episode.info.seed}".encode())
    for source in episode.sources:
        digest.update(source.encode())
    for values in (episode.executed_actions, *(episode.state[name] for name in sorted(episode.state))):
        digest.update(np.ascontiguousarray(values, "<f4").tobytes())
    return digest.hexdigest()


def hash_fraction(episode: EpisodeData) -> float:
    """A fixed number in [0, 1) for what happened in an episode."""
    return int(episode.fingerprint[:16], 16) / 2**64


def held_out_ids(episodes: Sequence[EpisodeData], share: float) -> tuple[str, ...]:
    """Ids of episodes to keep out of training: those whose hash falls below `share`, whatever else there is.

    When that leaves out no interaction with undesirable steps, the one of them with the smallest hash is kept out, so
    that there is something to judge by; likewise for demonstrations. Neither rule ever keeps out an episode that an
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


def is_trained_on(info: EpisodeInfo) -> bool:
    """Whether an episode is of a kind to learn from: a demonstration, or an interaction of a deployment."""
    purpose = info.tags.get("purpose", Purpose.DEPLOYMENT)
    return info.kind != EpisodeKind.INTERACTION or purpose == Purpose.DEPLOYMENT


def load_training_data(
    paths: Iterable[Path],
    rule: LabelRule,
    horizon: int,
    held_out_share: float,
    contract_sha256: str,
    undesirable_version: int | None = None,
    k_from: str = "fixed",
) -> TrainingData:
    """Reads episode files, in the given order; a bad file is set aside and the rest is used.

    Args:
        paths: episode files.
        rule: how steps are labelled.
        horizon: rows of the policy's action chunk.
        held_out_share: 0..1.
        contract_sha256: contract of the policy; episodes recorded under another one are set aside.
        undesirable_version: only undesirable steps of this adapter are trained on; None takes those of all. What is
            held out does not depend on it.
        k_from: "fixed", or the rule whose windows in these episodes give K (`fitted_window`).
    """
    read, aside = _read(paths, contract_sha256)
    k_fit = None
    if k_from != "fixed":
        rule, k_fit = _fitted_rule(read, rule, k_from)
    episodes: dict[str, EpisodeData] = {}
    windows: list[Window] = []
    contract = None
    for episode in read:
        name = episode.info.episode_id
        try:
            if name in episodes:
                raise EpisodeFormatError(f"{episode.path}: same episode id as {episodes[name].path}: {name}")
            episodes[name] = episode_data(episode, rule, horizon)
        except EpisodeFormatError as error:
            aside.append(SetAside.because(episode.path, error))
            continue
        windows += episode.undesirable_windows(rule)
        contract = episode.contract
    out = set(held_out_ids(list(episodes.values()), held_out_share))
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
        set_aside=tuple(aside),
        contract=contract,
        instruction=next((e.instruction for e in reversed(episodes.values())), ""),
        rule=rule,
        windows=tuple(windows),
        k_fit=k_fit,
    )


def _read(paths: Iterable[Path], contract_sha256: str) -> tuple[list[Episode], list[SetAside]]:
    """Episodes, without images, that may be trained on, and the files that may not."""
    episodes, aside = [], []
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
            aside.append(SetAside.because(path, error))
    return episodes, aside


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


def find_episodes(
    episodes: Path | None, expert: Path | None, episode_ids: Sequence[str] = ()
) -> tuple[list[Path], list[SetAside]]:
    """Files to train on: all demonstrations, and all or the named interactions.

    Returns:
        The files, and a SetAside for each named episode that is not there.
    """
    demonstrations = list_episodes(expert) if expert and Path(expert).is_dir() else []
    recorded = list_episodes(episodes) if episodes and Path(episodes).is_dir() else []
    if not episode_ids:
        return demonstrations + recorded, []
    known = {path.stem: path for path in recorded}
    missing = [
        SetAside(Path(episodes or "") / f"{name}.h5", "requested but not found")
        for name in episode_ids
        if name not in known
    ]
    return demonstrations + [known[name] for name in episode_ids if name in known], missing
