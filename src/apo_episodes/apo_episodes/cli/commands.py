"""The commands of `apo episodes`: each takes parsed arguments, prints, and returns the exit status."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apo_core.errors import ApoError, EpisodeFormatError, EpisodeToolError
from apo_core.system.text_columns import align_columns
from apo_episodes import annotation
from apo_episodes.cli.options import episodes_of, pairs, rule_of
from apo_episodes.curate.cut import cut_episode
from apo_episodes.curate.datasets import write_folder, write_folders
from apo_episodes.curate.relabel import label_counts, write_labels
from apo_episodes.curate.selection import Selection, draw_parts, moment
from apo_episodes.files import find_episodes, new_file, read_all
from apo_episodes.inspection.ledger import as_json, format_ledger, rounds
from apo_episodes.inspection.statistics import format_statistics, statistics
from apo_episodes.inspection.table import describe, format_description, format_table, summarise
from apo_episodes.inspection.validate import validate as validate_file
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


def ledger(arguments: argparse.Namespace) -> int:
    """Prints what an operator's time bought, a row for each adapter."""
    found = rounds(summarise(episode) for episode in episodes_of(arguments))
    _print(as_json(found) if arguments.json else format_ledger(found))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Prints the facts of each episode."""
    rule = rule_of(arguments)
    facts = [describe(episode, rule) for episode in episodes_of(arguments)]
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
    rule, episodes = rule_of(arguments), episodes_of(arguments)
    if arguments.output:
        write_labels(episodes, rule, Path(arguments.output))
    counts = {episode.info.episode_id: label_counts(episode, rule) for episode in episodes}
    total = {label: sum(one[label] for one in counts.values()) for label in next(iter(counts.values()))}
    head = ("episode", *(label.lower() for label in total))
    rows = [(name, *map(str, numbers.values())) for name, numbers in [*counts.items(), ("total", total)]]
    print("\n".join(align_columns([head, *rows], left=1)))
    return 0


def annotate(arguments: argparse.Namespace) -> int:
    """Prints the outcome that holds now of each episode."""
    outcome = "" if arguments.outcome == "RECORDED" else arguments.outcome
    now = datetime.now(UTC).isoformat()
    decision = annotation.Annotation(outcome, arguments.note, arguments.author or getpass.getuser(), now)
    for episode in episodes_of(arguments):
        annotation.annotate(episode.path, episode.info.episode_id, decision)
        print(f"{episode.info.episode_id}  {read_episode(episode.path, images=False).outcome.outcome}")
    return 0


def split(arguments: argparse.Namespace) -> int:
    """Splits a data set into parts, or an episode at steps."""
    episodes, target = episodes_of(arguments), Path(arguments.output)
    if arguments.at:
        if len(episodes) != 1:
            raise EpisodeToolError(f"--at cuts one episode, {len(episodes)} are given")
        for path in cut_episode(episodes[0], arguments.at, target):
            print(path)
        return 0
    shares = {}
    for name, text in pairs(arguments.part, "--part").items():
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
    written = write_folder(episodes_of(arguments), target, arguments.link)
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
        tags=pairs(arguments.tag, "--tag"),
    )
    chosen = [episode for episode in episodes_of(arguments) if selection.accepts(episode)]
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
    rule, files = rule_of(arguments), find_episodes([arguments.path])
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
    numbers = statistics(episodes_of(arguments), arguments.actions, rule_of(arguments))
    _print(numbers if arguments.json else format_statistics(numbers))
    return 0


def _print(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value, indent=1))
