"""Files that come with apo, for programs that run in any folder."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = "apo_bringup"  # its share folder has config and models


def shipped(path: Path | str) -> Path:
    """The path itself where it exists, or is absolute; else the installed file of that name where there is one.

    Args:
        path: relative to the working directory, such as config/trainer.yaml or models/lift_base.
    """
    path = Path(path)
    if path.is_absolute() or path.exists():
        return path
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
    except ImportError:
        return path
    try:
        installed = Path(get_package_share_directory(_PACKAGE)) / path
    except PackageNotFoundError:
        return path
    return installed if installed.exists() else path
