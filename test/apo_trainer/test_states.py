import pytest

from apo_trainer.states import RunState, TrainerState


@pytest.mark.parametrize(
    ("end", "state"),
    [
        ("PUBLISHED", TrainerState.PUBLISHED),
        ("REJECTED", TrainerState.REJECTED),
        ("FAILED", TrainerState.FAILED),
        ("INTERRUPTED", TrainerState.CANCELLED),
        ("of another program", TrainerState.FAILED),
    ],
)
def test_state_of_the_node_follows_from_the_end_of_the_run(end, state):
    assert TrainerState.after(end) is state


def test_published_and_rejected_runs_alone_are_final():
    assert {state for state in RunState if state.is_final} == {RunState.PUBLISHED, RunState.REJECTED}


def test_states_of_the_node_are_the_constants_of_its_message():
    message = pytest.importorskip("apo_interfaces.msg").TrainerStatus
    assert [getattr(message, state.name) for state in TrainerState] == list(TrainerState)
