"""Errors of apo. Each message names the parameter, its value, the limit, and the file to edit."""


class ApoError(Exception):
    """Base of the errors that apo raises on purpose."""


class ConfigError(ApoError):
    """A configuration or contract is wrong; lists every fault found."""

    def __init__(self, source: str, faults: list[str]):
        self.source = source
        self.faults = list(faults)
        lines = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{source}: {len(self.faults)} fault(s)\n{lines}")


class EpisodeFormatError(ApoError):
    """An episode file is truncated, of another schema, or inconsistent."""


class AdapterError(ApoError):
    """An adapter is missing, damaged, or belongs to another base model, contract or statistics."""


class ObservationError(ApoError):
    """An observation does not fit the contract or the model."""


class EpisodeToolError(ApoError):
    """A tool for episode files cannot do its work; the message names the file and the reason."""


class CheckpointError(ApoError):
    """A model checkpoint is missing a file or key, or has one too many."""


class DecodeError(ApoError):
    """The output of a model is not an action: a fault of this inference, never a zero action."""
