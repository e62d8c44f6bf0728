"""The commands of `apo episodes`: each takes parsed arguments, prints, and returns the exit status."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apo_core.config import parameters as config
from apo_core.contract.contract import load_contract
from apo_core.errors import ApoError, EpisodeFormatError, EpisodeToolError
from apo_episodes.curate.cut import cut_episode
from apo_episodes.curate.datasets import write_folder, write_folders
from apo_episodes.curate.relabel import label_counts, write_labels
from apo_episodes.curate.selection import Selection, draw_parts, moment
from apo_episodes.episode import Episode
from apo_episodes.files import find_episodes, new_file, read_all
from apo_episodes.inspection.statistics import format_statistics, statistics
from apo_episodes.inspection.table import describe, format_description, format_table, summarise
from apo_episodes.inspection.validate import validate as validate_file
from apo_episodes.labeling import LabelRule
from apo_episodes.reader import read_episode
from apo_episodes.recovery import list_partial, recover_episode

INVALID = 2


def ls(arguments: argparse.Namespace) -> int:
    """Prints a table; a file that cannot be read is named, the others are listed."""
    rows, status = [], 0
    for path in find_episodes(arguments.paths):
        try:
            rows.append(summarise(read_episode(path, images=False)))
        except EpisodeFormatError as error:
            print(f"apo episodes ls: {error}", file=sys.stderr)
            status = INVALID
    _print([asdict(row) for row in rows] if arguments.json else format_table(rows))
    return status


def show(arguments: argparse.Namespace) -> int:
    """Prints the facts of each episode."""
    rule = _rule(arguments)
    facts = [describe(episode, rule) for episode in _episodes(arguments)]
    _print(facts if arguments.json else "\n\n".join(map(format_description, facts)))
    return 0


def validate(arguments: argparse.Namespace) -> int:
    """Prints what is wrong with each file."""
    results = []
    for path in find_episodes(arguments.paths):
        result = validate_file(path, images=not arguments.no_images)
        results.append(result)
        if not arguments.json:
            print(f"{'ok   ' if result.is_valid else 'FAULT'} {path}")
            for kind, texts in (("fault", result.faults), ("warning", result.warnings)):
                for text in texts:
                    print(f"      {kind}: {text}")
    faulty = sum(not result.is_valid for result in results)
    if arguments.json:
        _print(
            [{"path": str(r.path), "valid": r.is_valid, "faults": r.faults, "warnings": r.warnings} for r in results]
        )
    else:
        print(f"{len(results)} files, {faulty} with faults")
    return INVALID if faulty else 0


def recover(arguments: argparse.Namespace) -> int:
    """Recovers what it can, and names what it cannot."""
    journals: list[Path] = []
    for path in map(Path, arguments.paths):
        if not path.exists():
            raise EpisodeToolError(f"{path}: does not exist")
        journals += list_partial(path) if path.is_dir() else [path]
    status = 0
    for journal in journals:
        try:
            recovered = recover_episode(journal)
            print(f"{recovered}  {read_episode(recovered, images=False).num_steps} steps")
        except (ApoError, OSError) as error:
            print(f"apo episodes recover: {error}", file=sys.stderr)
            status = INVALID
    if not journals:
        print("nothing to recover")
    return status


def relabel(arguments: argparse.Namespace) -> int:
    """Prints the number of steps of each label, and writes the labels if asked to."""
    rule, episodes = _rule(arguments), _episodes(arguments)
    if arguments.output:
        write_labels(episodes, rule, Path(arguments.output))
    counts = {episode.info.episode_id: label_counts(episode, rule) for episode in episodes}
    width = max(map(len, counts))
    total = {label: sum(one[label] for one in counts.values()) for label in next(iter(counts.values()))}
    print("  ".join([f"{'episode':<{width}}", *(f"{label.lower():>12}" for label in total)]))
    for name, numbers in [*counts.items(), ("total", total)]:
        print("  ".join([f"{name:<{width}}", *(f"{number:>12}" for number in numbers.values())]))
    return 0


def split(arguments: argparse.Namespace) -> int:
    """Splits a data set into parts, or an episode at steps."""
    episodes, target = _episodes(arguments), Path(arguments.output)
    if arguments.at:
        if len(episodes) != 1:
            raise EpisodeToolError(f"--at cuts one episode, {len(episodes)} are given")
        for path in cut_episode(episodes[0], arguments.at, target):
            print(path)
        return 0
    shares = {}
    for name, text in _pairs(arguments.part, "--part").items():
        try:
            shares[name] = float(text)
        except ValueError:
            raise EpisodeToolError(f"--part {name}={text}: the share is not a number") from None
        if not name or Path(name).name != name or name.startswith("."):
            raise EpisodeToolError(f"--part {name}={text}: the name is not that of a folder")
    parts = draw_parts(len(episodes), shares, arguments.seed)
    chosen = {name: [episodes[i] for i in members] for name, members in parts.items()}
    for name, paths in write_folders(chosen, target, arguments.link).items():
        print(f"{target / name}  {len(paths)} episodes")
    return 0


def merge(arguments: argparse.Namespace) -> int:
    """Merges data sets."""
    target = Path(arguments.output)
    written = write_folder(_episodes(arguments), target, arguments.link)
    print(f"{target}  {len(written)} episodes")
    return 0


def filter_(arguments: argparse.Namespace) -> int:
    """Prints the files that are selected, or copies them to a folder."""
    try:
        since = moment(arguments.since) if arguments.since else None
        until = moment(arguments.until, end=True) if arguments.until else None
    except ValueError as error:
        raise EpisodeToolError(f"--since, --until: {error}; give a date like 2026-01-31") from None
    selection = Selection(
        outcomes=frozenset(arguments.outcome),
        kinds=frozenset(arguments.kind),
        tasks=frozenset(arguments.task),
        operators=frozenset(arguments.operator),
        adapters=frozenset(arguments.adapter),
        since=since,
        until=until,
        min_steps=arguments.min_steps,
        max_steps=arguments.max_steps,
        intervened=arguments.intervened,
        lossless=arguments.lossless,
        tags=_pairs(arguments.tag, "--tag"),
    )
    chosen = [episode for episode in _episodes(arguments) if selection.accepts(episode)]
    if arguments.output:
        written = write_folder(chosen, Path(arguments.output), arguments.link)
        print(f"{arguments.output}  {len(written)} episodes")
    else:
        for episode in chosen:
            print(episode.path)
    return 0


def view(arguments: argparse.Namespace) -> int:
    """Makes the requested pictures; by default a contact sheet."""
    from apo_episodes.formats.rerun import write_rerun
    from apo_episodes.inspection.view import write_contact_sheet, write_video

    if min(arguments.columns, arguments.rows) < 1:
        raise EpisodeToolError(f"--columns {arguments.columns} --rows {arguments.rows}: must be at least 1")
    rule, files = _rule(arguments), find_episodes([arguments.path])
    if len(files) > 1:
        raise EpisodeToolError(f"{arguments.path}: holds {len(files)} episodes, view shows one: name its file")
    (episode,) = read_all(files)
    grid = {"columns": arguments.columns, "rows": arguments.rows}
    asked = (arguments.sheet, arguments.video, arguments.rerun)
    sheet = arguments.sheet if any(asked) else f"{episode.path.stem}.png"
    for name, suffix, write, options in (
        (sheet, ".png", write_contact_sheet, grid),
        (arguments.video, ".mp4", write_video, {}),
        (arguments.rerun, ".rrd", write_rerun, {}),
    ):
        if not name:
            continue
        if Path(name).suffix != suffix:
            raise EpisodeToolError(f"{name}: the name must end in {suffix}")
        with new_file(name) as partial:
            write(episode, rule, partial, **options)
        print(name)
    return 0


def stats(arguments: argparse.Namespace) -> int:
    """Prints the statistics."""
    numbers = statistics(_episodes(arguments), arguments.actions, _rule(arguments))
    _print(numbers if arguments.json else format_statistics(numbers))
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Writes the requested format."""
    episodes, target = _episodes(arguments), Path(arguments.output)
    if arguments.format == "robomimic":
        from apo_episodes.formats.robomimic.export import RobomimicOptions, export_robomimic

        options = RobomimicOptions(
            rule=_rule(arguments),
            next_obs=not arguments.no_next_obs,
            valid_share=arguments.valid_share,
            seed=arguments.seed,
            clip=arguments.clip,
            env_args=_json_argument(arguments.env_args) if arguments.env_args else None,
        )
        print(f"{target}  {len(episodes)} demonstrations, {export_robomimic(episodes, target, options)} transitions")
    elif arguments.format == "lerobot":
        from apo_episodes.formats.lerobot.export import LeRobotOptions, export_lerobot

        options = LeRobotOptions(
            _rule(arguments), arguments.images, arguments.robot_type, arguments.data_mb, arguments.video_mb
        )
        print(f"{target}  {len(episodes)} episodes, {export_lerobot(episodes, target, options)} frames")
    elif arguments.format == "apo":
        from apo_episodes.formats.released_apo import ApoOptions, export_apo

        for path in export_apo(episodes, target, ApoOptions(arguments.camera, arguments.size, arguments.clip)):
            print(path)
    else:
        from apo_episodes.formats.mcap.export import export_mcap

        definition = Path(arguments.command_definition) if arguments.command_definition else None
        for path in export_mcap(episodes, target, definition):
            print(path)
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Writes an episode file for each demonstration."""
    from apo_episodes.formats.robomimic.importer import RobomimicImport, import_robomimic

    if not math.isclose(math.hypot(*arguments.ee_rotation), 1, abs_tol=1e-3):
        raise EpisodeToolError(f"--ee-rotation {arguments.ee_rotation}: a quaternion must be of norm 1")
    options = RobomimicImport(
        instruction=arguments.instruction,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        state=_pairs(arguments.state, "--state"),
        cameras=_pairs(arguments.camera, "--camera"),
        task=arguments.task,
        operator=arguments.operator,
        mask=arguments.mask,
        prefix=arguments.prefix,
        position_step_m=arguments.position_step,
        rotation_step_rad=arguments.rotation_step,
        control_rate_hz=arguments.control_rate,
        ee_rotation=tuple(arguments.ee_rotation),
        gripper_sign=arguments.gripper_sign,
        flip=arguments.flip,
        resize=arguments.resize,
        clip=arguments.clip,
    )
    target = Path(arguments.output)
    written = import_robomimic(Path(arguments.path), target, load_contract(arguments.contract), options)
    print(f"{target}  {len(written)} episodes")
    return 0


def _episodes(arguments: argparse.Namespace) -> list[Episode]:
    return read_all(find_episodes(arguments.paths))


def _rule(arguments: argparse.Namespace) -> LabelRule:
    values = {spec.name: getattr(arguments, spec.name) for spec in fields(LabelRule)}
    return config.build(LabelRule, values, "label rule (options)")


def _pairs(texts: list[str], option: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise EpisodeToolError(f"{option} {text}: must be NAME=VALUE")
        if name.strip() in pairs:
            raise EpisodeToolError(f"{option} {text}: {name.strip()} is given twice")
        pairs[name.strip()] = value.strip()
    return pairs


def _json_argument(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text if text.lstrip().startswith("{") else Path(text).read_text())
    except (OSError, ValueError) as error:
        raise EpisodeToolError(f"--env-args {text}: neither JSON nor a file with it ({error})") from None
    if not isinstance(value, dict):
        raise EpisodeToolError(f"--env-args {text}: must be a JSON object")
    return value


def _print(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value, indent=1))
