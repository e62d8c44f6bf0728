"""What tests of every policy family do with a policy and its folder."""

from pathlib import Path

import yaml

from apo_core.types import Observation
from apo_vla.policy import Prepared, VlaPolicy


def batch(policy: VlaPolicy, *observations: Observation) -> Prepared:
    """The observations as one batch."""
    texts = [o.instruction for o in observations]
    return policy.prepare([o.images for o in observations], [o.state for o in observations], texts)


def deploy(folder: Path, **changes: object) -> None:
    """Changes deployment.yaml of a checkpoint's folder."""
    path = folder / "deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}))
