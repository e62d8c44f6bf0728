"""How the policy learns: its adapters as a family tree, and success over rounds. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from apo_core.adapters.promotion import Promotion
from apo_core.types import EpisodeKind, Outcome, Purpose
from apo_core.wilson import wilson_interval

_LARGEST = 400  # points of a curve


def family(manifests: Mapping[int, Mapping[str, Any] | str], promotion: Promotion) -> list[dict[str, Any]]:
    """The base policy and all adapters, each behind its parent; the first child at its parent's depth, others deeper.

    Args:
        manifests: of each adapter; a text is why it cannot be read.
        promotion: what is served, and what was before.
    """
    children: dict[int, list[int]] = defaultdict(list)
    for number, manifest in sorted(manifests.items()):
        parent = 0 if isinstance(manifest, str) else int(manifest["parent"])
        # the parent of an adapter may have been pruned
        children[parent if parent in manifests else 0].append(number)
    rows: list[dict[str, Any]] = []
    waiting = [(0, 0)]
    while waiting:
        number, depth = waiting.pop()
        manifest = manifests.get(number, {})
        described = {"fault": manifest} if isinstance(manifest, str) else _described(manifest)
        marks = {"serves": number == promotion.number, "served_before": number in promotion.history}
        rows.append({"version": number, "depth": depth, **described, **marks})
        waiting += [(child, depth + (child != children[number][0])) for child in reversed(children[number])]
    return rows


def _described(manifest: Mapping[str, Any]) -> dict[str, Any]:
    if not manifest:
        return {"method": "base policy"}
    verdict = manifest["verdict"]
    return {
        "parent": manifest["parent"],
        "method": manifest["method"],
        "created": manifest["created_utc"],
        "episodes": len(manifest["episode_ids"]),
        "verdict": None
        if verdict is None
        else {"notes": verdict.get("notes", []), "values": verdict.get("values", {})},
    }


def rounds(episodes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Success and the operator's share of each adapter and purpose, in the order of the adapters.

    An episode counts for the newest adapter that acted in it; success has a 95 % interval (Wilson) and counts judged
    episodes only.

    Args:
        episodes: rows of `view.episode.row`; discarded, unreadable and demonstrations are left out.
    """
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for episode in episodes:
        if "fault" in episode or episode["discarded"] or episode["kind"] == EpisodeKind.DEMONSTRATION:
            continue
        if episode["purpose"] != Purpose.RELOAD:
            groups[max(episode["adapters"], default=0), episode["purpose"]].append(episode)
    return [_round(adapter, purpose, groups[adapter, purpose]) for adapter, purpose in sorted(groups)]


def _round(adapter: int, purpose: str, episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    judged = [episode for episode in episodes if episode["outcome"] != Outcome.UNLABELED]
    successes = sum(episode["outcome"] == Outcome.SUCCESS for episode in judged)
    low, high = wilson_interval(successes, len(judged))
    steps = sum(episode["steps"] for episode in episodes)
    return {
        "adapter": adapter,
        "purpose": purpose,
        "episodes": len(episodes),
        "judged": len(judged),
        "successes": successes,
        "low": round(low, 4),
        "high": round(high, 4),
        "share": round(sum(e["share"] * e["steps"] for e in episodes) / steps, 4) if steps else 0.0,
        "takeovers": sum(episode["takeovers"] for episode in episodes),
    }


def curves(metrics: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Columns of a run's metrics, at most so many rows as a page draws; {name: a value a row, None where unknown}.

    Args:
        metrics: a mapping an optimizer step; nested ones become `name.key`.
    """
    every = max(1, -(-len(metrics) // _LARGEST))
    flat = [_flat(values) for values in metrics[::-1][::every][::-1]]  # the newest always
    names = dict.fromkeys(name for values in flat for name in values)
    return {name: [values.get(name) for values in flat] for name in names}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[prefix + name] = round(float(value), 5)
    return found
