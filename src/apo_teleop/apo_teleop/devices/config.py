"""Parameters of the operator's node (config/teleop.yaml)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apo_core.config.parameters import group, parameter
from apo_teleop.devices.joy import JoyConfig
from apo_teleop.devices.mapping import MappingConfig
from apo_teleop.devices.profiles import ProfileConfig
from apo_teleop.devices.remote import RemoteConfig
from apo_teleop.devices.scripted_operator import ScriptedConfig

SPACEMOUSE, JOY, KEYBOARD, BROWSER = "spacemouse", "joy", "keyboard", "browser"
SCRIPTED, NONE, AUTO = "scripted", "none", "auto"


@dataclass(frozen=True, slots=True)
class TeleopConfig:
    """Which device, and how often it is read."""

    contract_file: str = parameter("config/contract.yaml", "the contract; gives topics and the rate of the ticks")
    lockstep: bool = parameter(False, "true: one sample per ee_pose, with its stamp; false: on change and as heartbeat")
    device: str = parameter(
        AUTO,
        "auto: a SpaceMouse if one is attached, else the joystick topic if it has a publisher, else the scripted "
        "operator in simulation, else wait for a SpaceMouse; browser: who holds the lease in the console",
        choices=(AUTO, SPACEMOUSE, JOY, KEYBOARD, BROWSER, SCRIPTED, NONE),
    )
    realtime_priority: int = parameter(
        20, "SCHED_FIFO priority of the threads that read and publish the device; 0: none", low=0, high=99
    )
    start_enabled: bool = parameter(True, "false: the operator never acts until ~/enable; an emergency stop counts")
    poll_hz: float = parameter(200.0, "reads of the device per second", low=1.0, high=1000.0)
    heartbeat_s: float = parameter(
        0.05,
        "s after which an unchanged sample is sent again; well below operator_stale_s of the arbiter",
        low=0.001,
        high=1.0,
    )
    reconnect_s: float = parameter(0.5, "s between attempts to find a lost SpaceMouse", low=0.05, high=60.0)
    spacemouse_model: str = parameter("", "name in pyspacemouse's list, such as SpaceMouseCompact; empty: any")
    spacemouse_stale_s: float = parameter(
        0.15, "s of silence of a deflected SpaceMouse after which it is lost; 0: never", low=0.0, high=10.0
    )
    auto_wait_s: float = parameter(1.0, "s that auto looks for a publisher on the joystick topic", low=0.0, high=60.0)
    keyboard_terminal: str = parameter("", "terminal to read keys from; empty: the controlling one")
    key_tap_s: float = parameter(0.2, "s that one press of a motion key moves", low=0.01, high=2.0)
    key_repeat_s: float = parameter(0.15, "s that a held key goes on after its last repetition", low=0.01, high=2.0)
    sensor_reliability: str = parameter(
        "reliable", "QoS of the joystick, ee_pose, gripper and ground truth", choices=("reliable", "best_effort")
    )
    mapping: MappingConfig = group(MappingConfig)
    joy: JoyConfig = group(JoyConfig)
    remote: RemoteConfig = group(RemoteConfig)
    profiles: ProfileConfig = group(ProfileConfig)
    scripted: ScriptedConfig = group(ScriptedConfig)


def choose_device(
    wanted: str, simulated: bool, spacemouse_attached: Callable[[], bool], joy_published: Callable[[], bool]
) -> str:
    """The device that `auto` stands for; any other name stands for itself."""
    if wanted != AUTO:
        return wanted
    if spacemouse_attached():
        return SPACEMOUSE
    if joy_published():
        return JOY
    return SCRIPTED if simulated else SPACEMOUSE
