"""Whether the loop goes on."""

from apo_bringup.chaos.events import Chunk, Command, News, Operator, Pose
from apo_bringup.chaos.health import Health
from apo_bringup.chaos.schedule import NODES


def signs(t: int) -> list:
    made = [Pose(t, (0.0, 0.0, 1.0)), Operator(t, False), Chunk(t, True)]
    made.append(Command(t, 1, (0.0,) * 7, "POLICY", "r", 1, 1, 1))
    made += [News(t, "alive", {"node": name}) for name in NODES]
    return [*made, News(t, "episode", {"event": "STARTED"})]


def health(events: list) -> Health:
    made = Health()
    for event in events:
        made.on_event(event)
    return made


def test_nothing_is_missing_once_everything_has_given_a_sign():
    assert health(signs(5)).missing(4, NODES) == []


def test_signs_of_before_do_not_count():
    assert "ee_pose" in health(signs(5)).missing(5, NODES)


def test_what_is_missing_is_named():
    events = [event for event in signs(5) if not isinstance(event, Chunk)]
    assert health(events).missing(4, NODES[1:]) == ["the process of sim_bridge", "an action of the policy"]


def test_hold_and_a_fault_of_the_policy_are_no_signs():
    events = [*signs(5), Chunk(9, False), Command(9, 2, (0.0,) * 7, "HOLD", "r", 1, 1, 1)]
    missing = health(events).missing(6, NODES)
    assert "an action of the policy" in missing
    assert "a command of policy or operator" in missing


def test_a_latched_fault_is_known_until_it_is_cleared():
    made = health([News(1, "status", {"latched": True})])
    assert made.latched
    made.on_event(News(2, "status", {"latched": False}))
    assert not made.latched
