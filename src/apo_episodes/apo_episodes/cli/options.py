"""Options that several of the tools for episode files take: functions that add them to a parser, and their values."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields

from apo_core.config.parameters import build
from apo_core.errors import EpisodeToolError
from apo_episodes.episode import Episode
from apo_episodes.files import find_episodes, read_all
from apo_episodes.labeling import FAILURE_RULES, UNDESIRABLE_RULES, LabelRule


def paths(of: argparse.ArgumentParser) -> None:
    """Adds the episodes to work on."""
    of.add_argument("paths", nargs="+", metavar="PATH", help="episode files (*.h5), or folders of them")


def output_folder(of: argparse.ArgumentParser) -> None:
    """Adds --output, the folder that a tool makes."""
    of.add_argument("--output", required=True, metavar="FOLDER", help="folder to be made")


def label_rule(of: argparse.ArgumentParser) -> None:
    """Adds what a LabelRule is made of."""
    rule = LabelRule()
    of.add_argument(
        "--undesirable-steps",
        type=int,
        default=rule.undesirable_steps,
        metavar="K",
        help=f"policy steps before a takeover that are undesirable (default {rule.undesirable_steps})",
    )
    of.add_argument(
        "--undesirable-seconds", type=float, default=0.0, metavar="S", help="K in seconds; above 0 it replaces K"
    )
    of.add_argument(
        "--failure-rule",
        choices=FAILURE_RULES,
        default=rule.failure_rule,
        help=f"a failed episode without takeover (default {rule.failure_rule})",
    )
    of.add_argument(
        "--undesirable-rule",
        choices=UNDESIRABLE_RULES,
        default=rule.undesirable_rule,
        help="where they begin: K steps back, where progress stopped, or where policy and operator part "
        f"(docs/reference/methods.md; default {rule.undesirable_rule})",
    )
    for name, kind, what in (
        ("stall_tolerance", float, "stalled: a gain above this is progress, unit of the task's remaining path"),
        ("disagreement_tolerance", float, "disagreement: mean difference above this is one, actions scaled to -1..1"),
        ("disagreement_steps", int, "disagreement: first steps of the intervention that show the operator's intent"),
        ("rest_steps", int, "a rest of the operator in control is left out where it is longer than so many steps"),
        ("undesirable_max_steps", int, "stalled, disagreement: at most so many steps before a takeover"),
    ):
        default = getattr(rule, name)
        of.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N", help=f"{what} (default {default})"
        )


def link(of: argparse.ArgumentParser) -> None:
    """Adds --link for tools that copy files."""
    of.add_argument("--link", action="store_true", help="hard links instead of copies (one file system only)")


def episodes_of(arguments: argparse.Namespace) -> list[Episode]:
    """The episodes given by `paths`. Raises EpisodeToolError or EpisodeFormatError."""
    return read_all(find_episodes(arguments.paths))


def rule_of(arguments: argparse.Namespace) -> LabelRule:
    """The rule given by the options of `label_rule`. Raises ConfigError with every fault."""
    values = {spec.name: getattr(arguments, spec.name) for spec in fields(LabelRule)}
    return build(LabelRule, values, "label rule (options)")


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Name -> value of the NAME=VALUE texts of an option. Raises EpisodeToolError."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise EpisodeToolError(f"{option} {text}: must be NAME=VALUE")
        if name.strip() in found:
            raise EpisodeToolError(f"{option} {text}: {name.strip()} is given twice")
        found[name.strip()] = value.strip()
    return found
