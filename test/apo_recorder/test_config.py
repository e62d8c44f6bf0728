from pathlib import Path

from apo_core.config.parameters import load
from apo_recorder.config import RecorderConfig

SHIPPED = Path(__file__).parents[2] / "config" / "recorder.yaml"


def test_shipped_file_has_the_defaults():
    assert load(RecorderConfig, SHIPPED, "recorder") == RecorderConfig()
