"""What a person must do now: the one thing that matters most. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# reason of the arbiter (docs/reference/arbiter.md) -> what happens, what a person does
REMEDIES: dict[str, tuple[str, str]] = {
    "policy_in_control": ("The policy drives.", ""),
    "operator_motion": ("The operator drives.", ""),
    "operator_rest": ("The operator has control and rests.", "Hand back when the policy can go on."),
    "disabled": ("Nobody may drive.", "Enable when the robot is clear."),
    "estop": ("Emergency stop.", "Make sure the robot is safe, then clear."),
    "latched": ("A fault is latched.", "Remove its cause, then clear."),
    "deactivated": ("The arbiter has been deactivated.", "Activate it, then enable."),
    "clock_jump": ("The clock went back.", "Check /clock and the time of this machine."),
    "multiple_publishers": ("A second node sends what one alone may send.", "End the second stack, or part them."),
    "observation_missing": ("No end-effector pose arrives.", "Check that the robot's driver runs."),
    "observation_stale": ("The end-effector pose is too old.", "Check driver, network and clocks."),
    "observation_future": ("The end-effector pose lies in the future.", "Synchronise the clocks."),
    "observation_invalid": ("The end-effector pose is not valid.", "Check the robot's driver."),
    "feedback_missing": ("No feedback arrives.", "Check that the robot's driver runs."),
    "feedback_stale": ("The feedback is too old.", "Check driver, network and clocks."),
    "feedback_future": ("The feedback lies in the future.", "Synchronise the clocks."),
    "feedback_invalid": ("The feedback is not valid.", "Check the robot's driver."),
    "robot_not_following": ("The robot does not follow.", "Look for a collision or a protective stop, then clear."),
    "output_blocked": ("The output to the robot is blocked.", "See the arbiter's diagnostics."),
    "device_lost": ("The operator's device was lost.", "Let go of it, connect it again, then clear."),
    "operator_stale": ("The operator's device fell silent.", "Check the device or the line, then clear."),
    "operator_invalid": ("The operator's device sends values that are not valid.", "Check the device, then clear."),
    "standby_operator_invalid": ("The operator's device sends values that are not valid.", "Check the device."),
    "operator_future": ("The operator's samples lie in the future.", "Synchronise the clocks."),
    "operator_delayed": ("The operator's samples come late.", "Check the line of the device."),
    "operator_not_at_rest": ("The operator's device is deflected.", "Let go of it once."),
    "operator_late": ("The operator's sample of this tick is late.", ""),
    "operator_unknown": ("Waits for a first sample of the operator's device.", ""),
    "operator_silent": ("The operator's device has fallen silent.", "Check the device and the line to it."),
    "operator_absent": ("No operator's device is connected.", "Connect it, or take the lease in Drive."),
    "operator_unused": ("Nobody has used the operator's device yet.", "Move it, or press a button of it once."),
    "adapter_unknown": ("The policy's adapter is not announced.", "Wait, or restart the policy node."),
    "policy_late": ("The policy's answer to this tick is late.", ""),
    "no_chunk": ("The policy has sent no action yet.", "Wait until it has loaded."),
    "policy_silent": ("The policy has fallen silent.", "Look at the policy node; take over to go on."),
    "content_frozen": ("A camera or sensor shows the same while the arm moves.", "Check it; take over to go on."),
    "policy_fault": ("The policy reports a fault.", "See the policy's diagnostics."),
    "chunk_malformed": ("The policy's action does not fit the contract.", "Bind the policy to this contract."),
    "chunk_non_finite": ("The policy's action is not finite.", "Roll the adapter back."),
    "chunk_future": ("The policy's observation lies in the future.", "Synchronise the clocks."),
    "awaiting_fresh_chunk": ("Waits for an action of the policy.", ""),
    "chunk_stale": ("The policy's action is too old.", "Check the load of the policy's machine."),
    "chunk_exhausted": ("The policy's action has ended before the next came.", "Check the load of its machine."),
}
_CALM = (
    *("policy_in_control", "operator_motion", "awaiting_fresh_chunk"),
    *("policy_late", "operator_late", "operator_unknown"),
)
OK, NOTICE, WARNING, ALARM = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Alarm:
    """What the bar shows."""

    level: int  # OK, NOTICE, WARNING or ALARM
    text: str
    action: str  # what a person does; empty: nothing


@dataclass(frozen=True, slots=True)
class Signs:
    """What is known of a robot."""

    silent_s: float | None  # since the arbiter's last status; None: there was none yet
    state: str = ""
    reason: str = ""
    latched: bool = False
    help_wanted: bool = False
    problems: tuple[str, ...] = ()  # of the nodes' diagnostics, the worst first


def alarm(signs: Signs, silent_limit_s: float = 0.5) -> Alarm:
    """The most urgent thing: a silent arbiter, a stop, a fault, a request for help, a warning of a node.

    Args:
        signs: of one robot.
        silent_limit_s: the arbiter reports in every control tick.
    """
    if signs.silent_s is None:
        return Alarm(WARNING, "No arbiter has reported yet.", "Start the stack: ./apo up")
    if signs.silent_s > silent_limit_s:
        silent = f"The arbiter has been silent for {signs.silent_s:.0f} s."
        return Alarm(ALARM, silent, "Use the robot's own emergency stop if it moves.")
    text, action = REMEDIES.get(signs.reason, (f"{signs.state}: {signs.reason}", ""))
    if signs.state == "ESTOP" or signs.latched:
        return Alarm(ALARM, text, action or "Clear when the cause is gone.")
    if signs.help_wanted and signs.state == "POLICY":
        return Alarm(WARNING, "The policy asks for help.", "Watch closely; take over if it goes wrong.")
    if signs.reason not in _CALM and signs.state in ("HOLD", "IDLE"):
        return Alarm(WARNING, text, action)
    if signs.problems:
        return Alarm(WARNING, signs.problems[0], "")
    return Alarm(NOTICE if action else OK, text, action)


class SteadyAlarm:
    """What the bar shows of alarms that come and go, so that a person can read it. Pure; steady time is passed in, s.

    An ALARM shows at once. Anything else that is more urgent than what shows must have been there for `rise_s`, in
    pieces too; anything as urgent or less, for `fall_s` without a break.
    """

    def __init__(self, rise_s: float = 0.3, fall_s: float = 1.0):
        self._rise_s, self._fall_s = rise_s, fall_s
        self._shown: Alarm | None = None
        self._next: Alarm | None = None
        self._next_since_s = self._last_s = self._raised_s = 0.0

    def update(self, now_s: float, found: Alarm) -> Alarm:
        """What shows now, given what is found now."""
        passed_s, self._last_s = now_s - self._last_s, now_s
        shown = self._shown
        if shown is None or found.level == ALARM or found == shown:
            if shown is None or found != shown:
                self._raised_s = 0.0
            self._shown, self._next = found, None
            self._raised_s = max(0.0, self._raised_s - passed_s / 4)
            return found
        if found != self._next:
            if self._next is None or found.level != self._next.level:
                passed_s = 0.0  # it has just begun
            self._next, self._next_since_s = found, now_s
        if found.level > shown.level:
            self._raised_s += passed_s
            is_due = self._raised_s >= self._rise_s
        else:
            is_due = now_s - self._next_since_s >= self._fall_s
        if is_due:
            self._shown, self._next, self._raised_s = found, None, 0.0
            return found
        return shown
