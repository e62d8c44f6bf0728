"""Checks of an episode file, one function a check; every fault is reported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path

import numpy as np

from apo_core.content_watch import ContentWatch, Frozen
from apo_core.errors import EpisodeFormatError
from apo_core.types import ControlSource, EpisodeKind, StepLabel
from apo_episodes.episode import Episode
from apo_episodes.files import frame_blocks
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode, verify_checksums

_ROUNDING = 1e-3  # share of a dimension's range forgiven
_QUATERNION_TOLERANCE = 1e-2  # difference of a quaternion's norm from 1


@dataclass(slots=True)
class Validation:
    """Findings in one file: a fault makes its data wrong, a warning makes it worth a look."""

    path: Path
    faults: list[str] = field(default_factory=list)  # "<check>: <what and where>"
    warnings: list[str] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        return not self.faults


def validate(path: Path, images: bool = True) -> Validation:
    """Checks schema, checksums, finite values, ranges, stamps and labels of a file.

    Args:
        path: an episode file.
        images: reads every frame as well, and compares the checksums that schema version 2 has.
    """
    result = Validation(path)
    try:
        episode = read_episode(path, images=False)
    except EpisodeFormatError as error:
        result.faults.append(f"schema: {str(error).removeprefix(f'{path}: ')}")
        return result
    for check in (_finite, _tokens, _ranges, _stamps, _labels, _rejections):
        for is_fault, text in check(episode):
            (result.faults if is_fault else result.warnings).append(f"{check.__name__[1:]}: {text}")
    if images:
        try:
            wrong = verify_checksums(path)
            result.faults += [f"checksums: '{name}' is not what was recorded" for name in wrong]
            _images(episode, result)
        except EpisodeFormatError as error:
            result.faults.append(f"images: {str(error).removeprefix(f'{path}: ')}")
    else:
        _content(episode, [], result)
    return result


def _steps(wrong: np.ndarray) -> str:
    """Steps at which `wrong` (T,) holds, as text."""
    at = np.flatnonzero(wrong)
    return f"{len(at)} step(s), the first is {at[0]}"


def _finite(episode: Episode) -> Iterator[tuple[bool, str]]:
    for name, values in episode.state.items():
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            yield True, f"state '{name}' has values that are not finite: {_steps(wrong)}"
    for name, values in (("policy", episode.policy_actions), ("human", episode.human_actions)):
        wrong = np.isinf(values).any(axis=1) | (np.isnan(values).any(axis=1) & ~np.isnan(values).all(axis=1))
        if wrong.any():
            yield True, f"action/{name} is neither finite nor absent (NaN in every dimension): {_steps(wrong)}"
    if episode.task_stages is not None:
        wrong = ~np.isin(episode.task_stages, (-1, 0, 1)).all(axis=1)
        if wrong.any():
            yield True, f"task/stages is neither unknown (-1) nor 0 or 1: {_steps(wrong)}"
    if episode.task_remaining is not None:
        wrong = np.isinf(episode.task_remaining) | (episode.task_remaining < 0)
        if wrong.any():
            yield True, f"task/remaining is neither unknown (NaN) nor a finite number of 0 or more: {_steps(wrong)}"


def _tokens(episode: Episode) -> Iterator[tuple[bool, str]]:
    if episode.policy_tokens is None:
        return
    tokens = episode.policy_tokens
    wrong = (tokens < -1).any(axis=1) | ((tokens < 0).any(axis=1) & (tokens >= 0).any(axis=1))
    if wrong.any():
        yield True, f"action/policy_tokens are neither tokens nor unknown (-1 in every dimension): {_steps(wrong)}"
    wrong = (tokens >= 0).any(axis=1) & np.isnan(episode.policy_actions).all(axis=1)
    if wrong.any():
        yield True, f"action/policy_tokens are there without the policy's action: {_steps(wrong)}"


def _ranges(episode: Episode) -> Iterator[tuple[bool, str]]:
    spec = episode.contract.action
    low, high = np.array(spec.low), np.array(spec.high)
    slack = _ROUNDING * (high - low)
    for name, values in (
        ("executed", episode.executed_actions),
        ("policy", episode.policy_actions),
        ("human", episode.human_actions),
    ):
        wrong = (values < low - slack) | (values > high + slack)  # NaN compares as inside
        for dimension in np.flatnonzero(wrong.any(axis=0)):
            limit = f"{spec.low[dimension]} .. {spec.high[dimension]} {spec.units[dimension]}"
            worst = values[wrong[:, dimension], dimension]
            # requested actions may exceed the range, which the arbiter limits; executed ones may not
            yield (
                name == "executed",
                f"action/{name} '{spec.names[dimension]}' reaches {worst[np.abs(worst).argmax()]:.4g}, the contract "
                f"allows {limit}: {_steps(wrong[:, dimension])}",
            )
    for part in episode.contract.state:
        if part.type == "geometry_msgs/msg/PoseStamped":
            norm = np.linalg.norm(episode.state[part.name][:, 3:7], axis=1)
            wrong = ~(np.abs(norm - 1) <= _QUATERNION_TOLERANCE)
            if wrong.any():
                yield True, f"state '{part.name}' has quaternions that are not of norm 1: {_steps(wrong)}"


def _stamps(episode: Episode) -> Iterator[tuple[bool, str]]:
    stamps = episode.stamps_ns
    for name in ("observation", "command", "receive"):
        back = np.diff(stamps[name], prepend=stamps[name][:1]) < 0
        if back.any():
            yield True, f"{name} stamps go back in time: {_steps(back)}"
        same = np.diff(stamps[name], prepend=stamps[name][:1] - 1) == 0
        if same.any():
            yield False, f"{name} stamps repeat: {_steps(same)}"
    tolerance_ns = round(episode.contract.tolerance_s * 1e9)
    for name, values in episode.header_stamps_ns.items():
        known = values > 0
        back = known & (np.diff(values, prepend=values[:1]) < 0)
        if back.any():
            yield True, f"header stamps of '{name}' go back in time: {_steps(back)}"
        far = known & (np.abs(values - stamps["observation"]) > tolerance_ns)
        if far.any():
            yield (
                False,
                f"samples of '{name}' are more than {tolerance_ns / 1e6:g} ms off the observation: {_steps(far)}",
            )
    yield from _ahead(episode, tolerance_ns)
    gaps = np.diff(episode.ticks, prepend=episode.ticks[:1] - 1) > 1
    if gaps.any():
        yield False, f"control ticks are missing before {_steps(gaps)}"


def _ahead(episode: Episode, tolerance_ns: int) -> Iterator[tuple[bool, str]]:
    """Stamps after the command: clocks of several machines differ, and the arbiter accepts what lies a little ahead."""
    stamps, most_ns = episode.stamps_ns, round(episode.contract.max_age_s * 1e9)
    holds = np.array([source is ControlSource.HOLD for source in episode.sources])
    for name, text in (
        ("observation", "observation stamps lie after the command that answers them"),
        ("chunk", "chunk stamps lie after the command"),
    ):
        ahead_ns = stamps[name] - stamps["command"]
        # nothing was executed for an observation that the arbiter held for
        wrong = (ahead_ns > most_ns) & ~holds
        if wrong.any():
            yield True, f"{text}: {_steps(wrong)}"
        early = (ahead_ns > tolerance_ns) & ~wrong
        if early.any():
            yield False, f"{text} by up to {ahead_ns[early].max() / 1e6:g} ms, as clocks that differ: {_steps(early)}"


def _labels(episode: Episode) -> Iterator[tuple[bool, str]]:
    sources = np.array([str(source) for source in episode.sources], dtype=object)
    for source, values in (
        (ControlSource.HUMAN, episode.human_actions),
        (ControlSource.POLICY, episode.policy_actions),
    ):
        wrong = (sources == source) & np.isnan(values).all(axis=1)
        if wrong.any():
            yield True, f"{source} decided, but its action is absent: {_steps(wrong)}"
    if episode.info.kind == EpisodeKind.DEMONSTRATION:
        wrong = sources != ControlSource.HUMAN
        if wrong.any():
            yield True, f"a demonstration is not driven by its expert: {_steps(wrong)}"
    rule = LabelRule(rest_steps=episode.num_steps)  # a rest may be left out
    labels = np.array([str(label) for label in episode.labels(rule)], dtype=object)
    wrong = (sources == ControlSource.HUMAN) & (labels != StepLabel.CORRECTED)
    if wrong.any():
        yield True, f"a human step is not labelled as a correction: {_steps(wrong)}"


def _rejections(episode: Episode) -> Iterator[tuple[bool, str]]:
    for why, count in episode.rejections.items():
        yield False, f"{count} steps were not recorded: {why}"


def _images(episode: Episode, result: Validation) -> None:
    dark, plain = (dict.fromkeys(episode.contract.image_names, 0) for _ in range(2))

    def pictures() -> Iterator[dict[str, np.ndarray]]:
        for _, frames in frame_blocks(episode):
            for name, values in frames.items():
                flat = values.reshape(len(values), -1)
                dark[name] += int((flat.max(axis=1) == 0).sum())
                plain[name] += int(((flat.max(axis=1) == flat.min(axis=1)) & (flat.max(axis=1) > 0)).sum())
            for index in range(len(next(iter(frames.values()), ()))):
                yield {name: values[index] for name, values in frames.items()}

    _content(episode, pictures(), result)
    for what, counts in (("black", dark), ("of one brightness", plain)):
        for name, count in counts.items():
            if count:
                result.warnings.append(f"images: camera '{name}' is {what} in {count} frame(s)")


def _content(episode: Episode, pictures: Iterable[dict[str, np.ndarray]], result: Validation) -> None:
    """Streams that stay the same while the arm moves, with the steps. Without pictures only those of the state."""
    watch = ContentWatch(episode.contract)
    runs: dict[tuple[str, int], Frozen] = {}
    stamps = episode.stamps_ns["observation"]
    for step, images in zip(range(episode.num_steps), chain(pictures, repeat({})), strict=False):
        state = {name: values[step] for name, values in episode.state.items()}
        watch.add_parts(int(stamps[step]), images, state)
        watch.command(episode.executed_actions[step])
        runs |= {(each.name, each.first): each for each in watch.frozen()}
    for (name, first), run in runs.items():
        what = "camera" if name in episode.contract.image_names else "state"
        result.warnings.append(f"content: {what} '{name}' {run.text}: steps {first} .. {run.last}")
