"""What must hold of the episodes in a store after pushes that were cut off."""

from pathlib import Path

from apo_core.remote.patience import Patience
from apo_episodes.remote.pull import pull
from apo_episodes.remote.store import RemoteStore


def check_pushed(store: RemoteStore, robot: Path, copy: Path, patience: Patience) -> None:
    """Every episode of arm1 is in the store once and whole, and nothing else."""
    left_out: list[str] = []
    files = {path.name: path.read_bytes() for path in robot.glob("*.h5")}
    assert sorted(store.episodes()) == sorted(("arm1", name.removesuffix(".h5")) for name in files)
    assert pull(store, copy, (), patience, lambda done: None, lambda what, error: left_out.append(what)) == len(files)
    assert left_out == []
    assert {path.name: path.read_bytes() for path in copy.glob("*.h5")} == files
    listed = {chunk.sha256 for _, episode_id in store.episodes() for chunk in store.record("arm1", episode_id).chunks}
    there = {path.rpartition("/")[2] for path in store.documents("chunks")}
    assert {name for name in there if not name.endswith(".new")} == listed
