"""Options that several of the tools for episode files take; each function adds one to a parser."""

from __future__ import annotations

import argparse

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
        ("undesirable_max_steps", int, "stalled, disagreement: at most so many steps before a takeover"),
    ):
        default = getattr(rule, name)
        of.add_argument(
            f"--{name.replace('_', '-')}", type=kind, default=default, metavar="N", help=f"{what} (default {default})"
        )


def link(of: argparse.ArgumentParser) -> None:
    """Adds --link for tools that copy files."""
    of.add_argument("--link", action="store_true", help="hard links instead of copies (one file system only)")
