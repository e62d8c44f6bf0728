"""A layout for Foxglove (and Lichtblick): cameras, who drives and why, actions, doubt, diagnostics.

Format: the JSON file of "Import from file". Topics are those of `streams`, so the layout also suits foxglove_bridge.
"""

from __future__ import annotations

from typing import Any

from apo_console.viewers.streams import Stream
from apo_core.contract.contract import Contract

# colours that are readable on light and dark
_STATES = {"POLICY": "#2f7d4f", "HUMAN": "#2b6cb0", "HOLD": "#b7791f", "ESTOP": "#c53030", "IDLE": "#718096"}
_WINDOW_S = 30


def foxglove_layout(contract: Contract, namespace: str) -> dict[str, Any]:
    """The layout as JSON holds it.

    Args:
        contract: its cameras and action.
        namespace: of the robot's nodes; empty: none.
    """

    def topic(name: str) -> str:
        return Stream(name, "").name_in(namespace)

    status, command = topic("control/status"), topic("command")
    panels: dict[str, dict[str, Any]] = {
        f"Image!{spec.name}": {"imageMode": {"imageTopic": topic(spec.topic)}, "foxglovePanelTitle": spec.name}
        for spec in contract.images
    }
    cameras = list(panels)
    panels["Indicator!state"] = {
        "path": f"{status}.state",
        "style": "background",
        "fallbackColor": "#718096",
        "fallbackLabel": "no arbiter",
        "rules": [
            {"operator": "=", "rawValue": state, "color": colour, "label": state} for state, colour in _STATES.items()
        ],
        "foxglovePanelTitle": "who drives",
    }
    panels["StateTransitions!control"] = {
        "paths": [
            {"value": f"{status}.{field}", "label": label, "timestampMethod": "receiveTime"}
            for field, label in (("state", "state"), ("reason", "reason"), ("adapter_version", "adapter"))
        ],
        "isSynced": True,
        "xAxisRange": _WINDOW_S,
        "foxglovePanelTitle": "control",
    }
    actions = [(f"{command}.values[{i}]", name) for i, name in enumerate(contract.action.names)]
    panels["Plot!action"] = _plot("executed action", actions)
    doubt = topic("policy/doubt")
    panels["Plot!doubt"] = _plot(
        "policy: doubt", [(f"{doubt}.entropy", "entropy"), (f"{doubt}.help_entropy", "asks for help above")]
    )
    latency = [(f"{status}.response_ms", "response ms"), (f"{status}.takeover_latency_p99_ms", "takeover p99 ms")]
    panels["Plot!latency"] = _plot("latency", latency)
    panels["DiagnosticSummary!nodes"] = {
        "minLevel": 0,
        "pinnedIds": [],
        "topicToRender": "/diagnostics",
        "hardwareIdFilter": "",
        "sortByLevel": True,
    }
    for name, source in (
        ("adapter", "policy/adapter_status"),
        ("episode", "recorder/event"),
        ("training", "trainer/status"),
    ):
        panels[f"RawMessages!{name}"] = {"topicPath": topic(source), "foxglovePanelTitle": name}
    left = _stack([_row(cameras), _row(["Indicator!state", "StateTransitions!control"]), "Plot!action"])
    texts = _row([f"RawMessages!{name}" for name in ("adapter", "episode", "training")])
    right = _stack(["DiagnosticSummary!nodes", "Plot!doubt", "Plot!latency", texts])
    return {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": {"direction": "row", "first": left, "second": right, "splitPercentage": 62},
    }


def _plot(title: str, series: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "paths": [
            {"value": value, "label": label, "enabled": True, "timestampMethod": "receiveTime"}
            for value, label in series
        ],
        "isSynced": True,
        "showLegend": True,
        "xAxisVal": "timestamp",
        "followingViewWidth": _WINDOW_S,
        "foxglovePanelTitle": title,
    }


def _row(items: list[Any]) -> Any:
    return _split("row", items)


def _stack(items: list[Any]) -> Any:
    return _split("column", items)


def _split(direction: str, items: list[Any]) -> Any:
    """Nested halves of equal shares: the format has no split of three."""
    first, *rest = items
    if not rest:
        return first
    share = 100 / len(items)
    return {"direction": direction, "first": first, "second": _split(direction, rest), "splitPercentage": share}
