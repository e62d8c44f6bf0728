"""The topics of a robot that a viewer shows."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.contract.contract import Contract

COMMANDS, LATCHED, SENSORS = "commands", "latched", "sensors"


@dataclass(frozen=True, slots=True)
class Stream:
    """A topic, relative to the robot's namespace; its type by its ROS name; `qos`, the kind of traffic."""

    topic: str
    type: str
    qos: str = COMMANDS

    def name_in(self, namespace: str) -> str:
        """The topic as the graph shows it."""
        prefix = f"/{namespace.strip('/')}/".replace("//", "/")
        return self.topic if self.topic.startswith("/") else prefix + self.topic


_OF_APO = (
    Stream("control/status", "apo_interfaces/msg/ControlStatus"),
    Stream("command", "apo_interfaces/msg/ActionCommand"),
    Stream("policy/chunk", "apo_interfaces/msg/ActionChunk"),
    Stream("policy/doubt", "apo_interfaces/msg/ActionDoubt"),
    Stream("policy/adapter_status", "apo_interfaces/msg/AdapterStatus", LATCHED),
    Stream("policy/trial", "apo_interfaces/msg/AdapterTrial", LATCHED),
    Stream("operator/command", "apo_interfaces/msg/OperatorCommand"),
    Stream("recorder/event", "apo_interfaces/msg/EpisodeEvent"),
    Stream("recorder/ledger", "apo_interfaces/msg/OperatorLedger", LATCHED),
    Stream("trainer/status", "apo_interfaces/msg/TrainerStatus", LATCHED),
    Stream("task/status", "apo_interfaces/msg/TaskStatus"),
    Stream("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"),
)


def streams(contract: Contract) -> tuple[Stream, ...]:
    """Cameras, state and feedback of the contract, then the topics of apo; each topic once."""
    found = [Stream(image.topic, image.type, SENSORS) for image in contract.images]
    found += [Stream(state.topic, state.type, SENSORS) for state in contract.state]
    if contract.feedback is not None:
        found.append(Stream(contract.feedback.topic, contract.feedback.type, SENSORS))
    return tuple({stream.topic: stream for stream in (*found, *_OF_APO)}.values())
