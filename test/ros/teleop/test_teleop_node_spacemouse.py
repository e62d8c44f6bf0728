"""The operator's node with a SpaceMouse, down to the reports on its USB port."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_command import node_command
from operator_cell import (
    CONTRACT_FILE,
)
from std_srvs.srv import Trigger

from apo_core.ros.conversions import to_ns

FAKE_HIDAPI = Path(__file__).parent / "fake_hidapi.c"


def test_a_missing_spacemouse_is_reported_by_heartbeats(cell, start):
    start(device="spacemouse")
    cell.spin_until(lambda: len(cell.samples) >= 3, "heartbeats")
    values = cell.until_diagnosed(lambda: None, DiagnosticStatus.WARN, "libhidapi")
    assert (values["device"], values["connected"]) == ("SpaceMouse", "false")
    assert not any(sample.connected or sample.active for sample in cell.samples)
    assert {sample.device for sample in cell.samples} == {"spacemouse"}


class Usb:
    """A USB port for a libhidapi made of files (fake_hidapi.c)."""

    def __init__(self, directory: Path):
        self._plugged, self._reports = directory / "plugged", directory / "reports"
        self._reports.touch()

    def plug(self, vendor: int, product: int) -> None:
        whole = self._plugged.with_suffix(".new")
        whole.write_text(f"{vendor:x} {product:x}")
        whole.rename(self._plugged)

    def unplug(self) -> None:
        self._plugged.unlink()

    def report(self, *data: int) -> None:
        with self._reports.open("ab", buffering=0) as file:
            file.write(bytes([len(data), *data]).ljust(16, b"\0"))


@pytest.fixture
def usb(tmp_path, monkeypatch) -> Usb:
    """The node's driver finds this port's library in place of the system's."""
    pytest.importorskip("pyspacemouse")
    compiler = shutil.which("gcc") or pytest.skip("no gcc to build the library with")
    library = tmp_path / "libhidapi-hidraw.so.0"
    build = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, FAKE_HIDAPI]
    subprocess.run(build, check=True)
    (tmp_path / "libhidapi-hidraw.so").symlink_to(library)
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{tmp_path}:{os.environ.get('LD_LIBRARY_PATH', '')}")
    monkeypatch.setenv("FAKE_HID", str(tmp_path))
    return Usb(tmp_path)


FORWARD_LITTLE_ENDIAN = (0xA2, 0xFE)  # -350: y of a SpaceMouse points towards the person


@pytest.mark.parametrize(
    ("ids", "pushed", "released"),
    [
        ((0x046D, 0xC626), (1, 0, 0, *FORWARD_LITTLE_ENDIAN, 0, 0), (1, 0, 0, 0, 0, 0, 0)),
        ((0x256F, 0xC62E), (1, 0, 0, *FORWARD_LITTLE_ENDIAN, *[0] * 8), (1, *[0] * 12)),
    ],
    ids=["SpaceNavigator", "SpaceMouseWireless"],
)
def test_a_spacemouse_drives_is_pulled_out_and_must_be_cleared_and_rest(
    cell, start, processes, usb, meet, ids, pushed, released
):
    """The whole driver from HID reports to the arbiter's state."""
    parameters = {"contract_file": CONTRACT_FILE, "start_enabled": True, "operator_stale_s": 10.0}
    processes.append(subprocess.Popen(node_command("apo_teleop.arbiter_node", parameters)))
    usb.plug(*ids)
    start(device="spacemouse", reconnect_s=0.05)
    meet(cell.node, "arbiter", cell.spin_until)

    def send(*report: int) -> None:
        usb.report(*report)
        cell.send_pose_now()

    def until_state(report: tuple[int, ...], state: str, reason: str) -> None:
        seen = len(cell.statuses)
        cell.repeat_until(
            lambda: send(*report),
            lambda: any((s.state, s.reason) == (state, reason) for s in cell.statuses[seen:]),
            f"{state} {reason}",
        )

    until_state(released, "HOLD", "no_chunk")
    cell.until_ready_to_move(lambda: send(*released))
    until_state(pushed, "HUMAN", "operator_motion")
    assert cell.samples[-1].values[0] == pytest.approx(0.4)
    usb.unplug()
    until_state(pushed, "HOLD", "device_lost")
    assert cell.statuses[-1].latched
    usb.plug(*ids)
    back = len(cell.samples)
    cell.repeat_until(
        lambda: send(*pushed), lambda: any(sample.connected for sample in cell.samples[back:]), "the return"
    )
    assert cell.statuses[-1].latched
    cleared = cell.clear.call_async(Trigger.Request())
    cell.repeat_until(lambda: send(*pushed), cleared.done, "the answer of arbiter/clear")
    seen, until_ns = len(cell.statuses), cell.node.get_clock().now().nanoseconds + 500_000_000
    cell.repeat_until(
        lambda: send(*pushed), lambda: to_ns(cell.statuses[-1].header.stamp) > until_ns, "ticks of the arbiter"
    )
    assert {status.state for status in cell.statuses[seen:]} == {"HOLD"}
    assert not any(sample.active for sample in cell.samples[back:])
    cell.until_ready_to_move(lambda: send(*released))
    until_state(pushed, "HUMAN", "operator_motion")
