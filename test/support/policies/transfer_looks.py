"""Looks of a push or a pull of adapters, one at a time."""


class Looks:
    """Looks of a push or a pull, with what they report."""

    def __init__(self, transfer):
        self._transfer = transfer
        self.left_out: list[str] = []

    def __call__(self) -> list[str]:
        """What a look brings, in words."""
        seen: list[str] = []
        self.left_out = []
        self._transfer.look(
            lambda what, size: seen.append(what), lambda what, error: self.left_out.append(f"{what}: {error}")
        )
        return seen
