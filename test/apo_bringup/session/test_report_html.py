import cv2
import numpy as np
import pytest

from apo_bringup.session.report import EpisodeRecord, SessionRecord, TrainingRecord, build_report
from apo_bringup.session.report_html import plot_latency, render_html
from apo_core.types import Outcome, Purpose


@pytest.fixture
def report():
    record = SessionRecord(
        {}, trainings=[TrainingRecord(0, "r", "FAILED", "<no data>", 0, 0, 1.0, ())], versions={"torch": "2"}
    )
    return build_report(record)


def test_a_session_without_any_episode_makes_a_page(report, tmp_path):
    sheet = tmp_path / "sheet.png"
    cv2.imwrite(str(sheet), np.zeros((4, 4, 3), np.uint8))
    page = render_html(report, sheet, tmp_path / "episode.mp4")
    assert page.count("data:image/png;base64,") == 4
    assert "href='episode.mp4'" in page
    assert "&lt;no data&gt;" in page


def test_without_a_takeover_there_is_no_latency_plot(report):
    assert plot_latency(report) is None


def test_every_episode_has_its_outcome_in_the_list():
    episodes = [
        EpisodeRecord(f"e{i}", "", Purpose.DEPLOYMENT, 0, i, 0, outcome, 9, 0, 0.0, 1, 0, 1.0)
        for i, outcome in enumerate(Outcome)
    ]
    page = render_html(build_report(SessionRecord({}, episodes)), None, None)
    for number, outcome in enumerate(("success", "failure", "interrupted")):
        assert f"<td>e{number}</td><td>deployment</td><td>0</td><td>{number}</td><td>0</td><td>{outcome}</td>" in page
