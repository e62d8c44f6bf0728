"""Adapters as rows of a table or as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apo_core.system.text_columns import align_columns

_COLUMNS = ("version", "created", "method", "parent", "episodes", "gate", "action labels", "megabytes", "signed by")


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """One adapter in short."""

    version: int
    promoted: bool
    created_utc: str
    method: str
    parent: int
    episodes: int  # trained on
    accepted: bool | None  # by the gate; None: not judged
    action_labels: str  # emitted or rebinned, see `ManifestInput`
    bytes: int  # of the tensors' file
    signer: str  # fingerprint of the key that the signature names; empty: not signed


def summarise(manifest: Mapping[str, Any], promoted: bool, signer: str) -> AdapterRow:
    """The row of an adapter from the checked content of its manifest."""
    return AdapterRow(
        version=manifest["number"],
        promoted=promoted,
        created_utc=manifest["created_utc"],
        method=manifest["method"],
        parent=manifest["parent"],
        episodes=len(manifest["episode_ids"]),
        accepted=None if manifest["verdict"] is None else True,
        action_labels=manifest["action_labels"],
        bytes=manifest["files"]["adapter_model.safetensors"]["bytes"],
        signer=signer,
    )


def format_table(rows: Sequence[AdapterRow], current: int) -> str:
    """The rows as aligned text; a star marks what the policies serve."""
    lines = [("", *_COLUMNS), ("*" if current == 0 else "", "0", "", "base policy", *[""] * (len(_COLUMNS) - 3))]
    lines += [_cells(row) for row in rows]
    return "\n".join(align_columns(lines))


def _cells(row: AdapterRow) -> tuple[str, ...]:
    return (
        "*" if row.promoted else "",
        str(row.version),
        row.created_utc[:19],
        row.method,
        str(row.parent),
        str(row.episodes),
        "not judged" if row.accepted is None else "accepted",
        row.action_labels,
        f"{row.bytes / 1e6:.1f}",
        row.signer[:12] or "-",
    )


def format_description(facts: Mapping[str, Any], indent: str = "") -> str:
    """Nested plain data for people, a value a line."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", format_description(value, indent + "  ")]
        else:
            lines.append(f"{indent}{name}: {_inline(value)}")
    return "\n".join(lines)


def _inline(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_inline, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "-" if value is None or value in ("", {}) else str(value)
