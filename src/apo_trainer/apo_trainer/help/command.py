"""`apo help calibrate`: loads policy and episodes, learns, prints the figures and writes the calibration."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from apo_core.adapters.calibration import HelpCalibration
from apo_core.adapters.calibration_file import identity, write_calibration
from apo_core.adapters.manifest import policy_name
from apo_core.adapters.signature import read_signing_key
from apo_core.adapters.store import AdapterStore
from apo_core.errors import EpisodeToolError
from apo_core.served_policy import ServedPolicy
from apo_core.system.shipped_files import shipped
from apo_core.system.terminal import LiveLine
from apo_core.system.text_columns import align_columns
from apo_core.system.timestamps import utc_now
from apo_episodes.episode import Episode
from apo_episodes.files import find_episodes
from apo_episodes.reader import read_episode
from apo_trainer.help.calibration import Calibrated, calibrate, check_enough
from apo_trainer.help.drives import DrivenEpisode
from apo_trainer.help.replay import is_unaided_success, replan_steps_of, replay, unusable
from apo_vla.lora.adapter import LoraSettings, settings_of
from apo_vla.serving.policy import load_for_serving
from apo_vla.serving.settings import ServingSettings

_LEAST_ALIKE = 0.8  # of the recorded actions that the policy must give again


def calibrate_adapter(arguments: argparse.Namespace) -> int:
    """The tool; returns the exit status. Raises ApoError."""
    store = AdapterStore(arguments.adapters)
    key = read_signing_key(arguments.key) if arguments.key else None
    version = store.promotion().number if arguments.adapter is None else arguments.adapter
    policy = _load(str(shipped(arguments.checkpoint)), arguments.device, store, version)
    heads = _usable(arguments.paths, version, policy)
    check_enough(sum(map(is_unaided_success, heads.values())), arguments.false_alarms)
    replan_steps = arguments.replan_steps or replan_steps_of(list(heads.values()))
    print(f"{policy_name(version)}: {len(heads)} episodes, replan_steps = {replan_steps}", flush=True)
    driven = _replayed(list(heads), policy, replan_steps, arguments.action_horizon)
    found = calibrate(driven, arguments.false_alarms, arguments.horizon, arguments.split_seed)
    print("\n".join(table(found)))
    who = identity(store, version, policy.base_sha256, policy.statistics_sha256, policy.contract_sha256)
    document = HelpCalibration(
        who,
        replan_steps,
        arguments.action_horizon,
        found.score,
        arguments.false_alarms,
        arguments.horizon,
        found.measures,
        utc_now(),
    )
    print(f"written: {write_calibration(store.path, document, key)}; serve with help_rule: calibrated")
    return 0


def table(found: Calibrated) -> list[str]:
    """The figures on the episodes held out, a line each."""
    rows = [["held out", "AUROC", "alarms a minute", "false alarms", "takeovers and failures caught", "median lead"]]
    for row in found.rows:
        area = row.ranking
        rows.append([row.name, f"{area.auroc:.3f} ({area.low:.3f} .. {area.high:.3f})", *row.alarms.text])
    fitted, calibrating, held_out = found.episodes
    lines = [f"episodes: {fitted} fit the score, {calibrating} for the threshold, {held_out} held out"]
    lines += align_columns(rows, left=1)
    if found.gain is not None:
        gain = found.gain
        lines.append(f"AUROC beyond entropy alone: {gain.auroc:+.3f} ({gain.low:+.3f} .. {gain.high:+.3f})")
    order = sorted(found.score.weights.items(), key=lambda item: -abs(item[1].weight))
    lines.append("weights: " + ", ".join(f"{name} {used.weight:+.2f}" for name, used in order))
    return lines


def _load(checkpoint: str, device: str, store: AdapterStore, version: int) -> ServedPolicy:
    if not version:
        return load_for_serving(checkpoint, device, LoraSettings(), ServingSettings())
    adapter, tensors = store.read(version)
    policy = load_for_serving(checkpoint, device, settings_of(adapter.adapter_config), ServingSettings())
    policy.swap(policy.stage(tensors), version)
    return policy


def _usable(given: Sequence[str], version: int, policy: ServedPolicy) -> dict[Path, Episode]:
    """Episodes to learn from, without images; prints how many others are left out, and why."""
    paths = find_episodes(given)
    kept, others = dict[Path, Episode](), Counter[str]()
    for path in paths:
        episode = read_episode(path, images=False)
        why = unusable(episode, version) or _foreign(episode, policy)
        if why:
            others[why] += 1
        else:
            kept[path] = episode
    for why, count in others.most_common():
        print(f"left out: {count} episode(s), because each {why}", flush=True)
    if not kept:
        raise EpisodeToolError(f"none of {len(paths)} episodes in {', '.join(given)} can be learned from")
    return kept


def _foreign(episode: Episode, policy: ServedPolicy) -> str:
    found = episode.contract.sha256
    return "" if found == policy.contract_sha256 else f"has contract {found[:12]}, not {policy.contract_sha256[:12]}"


def _replayed(
    paths: Sequence[Path], policy: ServedPolicy, replan_steps: int, action_horizon: int
) -> list[DrivenEpisode]:
    line, made, alike, compared = LiveLine(repeat_s=10.0), [], 0, 0
    for index, path in enumerate(paths):
        line.update(f"{index} of {len(paths)} episodes predicted again")
        result = replay(read_episode(path), policy, replan_steps, action_horizon)
        alike, compared = alike + result.alike, compared + result.compared
        if result.episode.drives:
            made.append(result.episode)
    share = alike / compared if compared else 0.0
    line.note(f"{share:.1%} of {compared} recorded actions are those that the policy gives again")
    if share < _LEAST_ALIKE:
        raise EpisodeToolError(
            f"only {share:.0%} of {compared} recorded actions are those of this policy, at least {_LEAST_ALIKE:.0%} "
            "must be: --checkpoint, --adapter or --action-horizon is not that of the episodes"
        )
    return made
