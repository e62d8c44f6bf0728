"""Parameters of the background process (config/recorder.yaml), and what rules them out on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from apo_core.config.parameters import parameter
from apo_core.remote.address import name_fault, parse_options, url_fault


@dataclass(frozen=True, slots=True)
class BackgroundConfig:
    """What happens to finished episodes beside the recording."""

    upload_url: str = parameter(
        "",
        "store that gets finished episodes, a URL of fsspec: a folder, s3://bucket/folder, gs://..., ...; empty: none "
        "(docs/how-to/episode_tools.md)",
    )
    upload_robot: str = parameter(
        "", "name of this robot in the store; empty: that of `robot`, and where it is empty too, of the machine"
    )
    upload_interval_s: float = parameter(10.0, "s between two looks for finished episodes", low=1.0, high=86_400.0)
    upload_options: str = parameter(
        "",
        "of the store's file system, NAME=VALUE separated by spaces, e.g. endpoint_url=http://host:9000; credentials "
        "belong in the environment or ~/.aws",
    )

    def robot_name(self, robot: str, machine: str) -> str:
        """Name of this robot in the store.

        Args:
            robot: the recorder's parameter.
            machine: name of this machine.
        """
        return self.upload_robot or robot or machine

    def faults(self, robot: str, machine: str) -> list[str]:
        """Why uploads cannot work on this machine; empty: they can, or are not wanted. Arguments as of `robot_name`."""
        if not self.upload_url:
            return []
        found, name = list[str](), self.robot_name(robot, machine)
        if fault := url_fault(self.upload_url):
            found.append(f"upload_url = {self.upload_url!r} {fault}")
        if fault := name_fault(name):
            source = "" if self.upload_robot else f" takes {name!r}, which"
            found.append(f"upload_robot = {self.upload_robot!r}{source} {fault}")
        try:
            parse_options(self.upload_options.split())
        except ValueError as error:
            found.append(f"upload_options = {self.upload_options!r}: {error}")
        return found
