"""The recorder's process under the operator's buttons, and an episode that is taken back."""

from apo_episodes.reader import read_episode


def test_events_of_the_operator_start_end_and_undo_episodes(launch, cell, episodes):
    launch()
    cell.press("start")
    cell.event("STARTED")
    for tick in range(1, 4):
        cell.tick(tick)
    cell.wait_taken(3)
    cell.press("success")
    saved = cell.event("SAVED")
    assert (saved.outcome, saved.reason, saved.steps) == ("SUCCESS", "operator_success", 3)
    cell.press("undo_last")
    assert "kept in" in cell.event("DISCARDED").reason
    assert episodes() == []
    cell.press("start")
    cell.spin_until(lambda: cell.count("STARTED") == 2)
    cell.tick(4)
    cell.wait_taken(4)
    cell.press("discard")
    cell.spin_until(lambda: cell.count("DISCARDED") == 2)
    assert episodes() == []


def test_buttons_can_be_switched_off(launch, cell):
    cell.publishers.remove(cell.operator)
    launch(buttons=False)
    cell.press("start")
    for _ in range(5):
        assert cell.end().message == "no episode is being recorded"
    assert cell.events == []


def test_last_episode_is_taken_back_by_the_service(launch, cell, episodes, tmp_path):
    launch()
    rejected = cell.undo()
    assert not rejected.success and "no episode was saved yet" in rejected.message
    for tick in (1, 2):
        cell.start()
        cell.tick(tick)
        assert cell.end(until=tick).accepted
    first, second = episodes()
    undone = cell.undo()
    assert undone.success and second.info.episode_id in undone.message
    assert [episode.path for episode in episodes()] == [first.path]
    assert read_episode(tmp_path / "episodes" / ".discarded" / second.path.name).ticks.tolist() == [2]
