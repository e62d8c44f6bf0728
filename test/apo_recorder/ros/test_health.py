"""What the recorder's diagnostics show of all that may be wrong."""

import pytest

pytest.importorskip("rclpy", reason="rclpy is missing: run 'make setup' or source a ROS 2 installation")

from apo_core.ros.diagnostics import ERROR, OK, WARN
from apo_recorder.ros.health import health_of


@pytest.mark.parametrize(
    ("facts", "level", "text"),
    [
        ((False, [], [], [], ""), OK, "records"),
        ((True, [], [], [], ""), WARN, "loses data"),
        ((True, ["no image", "no pose"], [], [], ""), WARN, "no observation: no image; no pose"),
        ((True, ["no image"], ["front stays"], [], ""), WARN, "frozen content: front stays"),
        ((True, ["no image"], ["front stays"], ["not finite"], ""), WARN, "rejects steps: not finite"),
        ((True, [], [], [], "", ["too slow", "no command"]), WARN, "loses steps: too slow; no command"),
        ((True, [], [], ["not finite"], "", ["too slow"]), WARN, "rejects steps: not finite"),
        ((True, ["no image"], [], [], "two recorders"), ERROR, "begins no episode: two recorders"),
    ],
)
def test_the_worst_is_shown(facts, level, text):
    health = health_of(*facts)
    assert (health.level, health.text) == (level, text)


def test_the_log_has_a_line_for_each_warning():
    lines = ("no observation: no image", "frozen content: front stays", "rejects steps: not finite")
    assert health_of(False, ["no image"], ["front stays"], ["not finite"], "two recorders").warnings == lines
    assert health_of(True, [], [], [], "").warnings == ()
