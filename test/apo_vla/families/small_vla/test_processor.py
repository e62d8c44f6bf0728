import numpy as np
import pytest

from apo_core.errors import ObservationError


@pytest.fixture
def processor(tiny_model, tiny_tokenizer, tiny_statistics):
    return tiny_model.make_processor(tiny_tokenizer, tiny_statistics)


def test_images_are_in_the_order_of_the_model_s_cameras(processor, observation):
    views = observation().images
    found = processor.images(dict(reversed(views.items())), None)
    assert found.shape == (2, 3, 32, 32) and found.dtype == np.float32
    np.testing.assert_array_equal(found, processor.images(views, None))


def test_every_missing_camera_is_named(processor):
    with pytest.raises(ObservationError, match=r"images \['agentview', 'wrist'\] are missing"):
        processor.images({}, None)


def test_state_is_joined_in_standard_deviations(processor, observation, tiny_statistics):
    found = processor.state(observation().state)
    assert found.shape == (8,) and found.dtype == np.float32
    np.testing.assert_array_equal(found, tiny_statistics.normalise_state(observation().state))


def test_a_prompt_is_encoded_once(processor):
    first = processor.prompt("lift the red cube", np.zeros(8))
    assert processor.prompt("lift the red cube", np.ones(8)) is first


def test_kept_prompts_are_bounded(processor):
    first = processor.prompt("lift", np.zeros(8))
    for number in range(1024):
        processor.prompt(f"lift {number}", np.zeros(8))
    again = processor.prompt("lift", np.zeros(8))
    assert again is not first
    np.testing.assert_array_equal(again, first)


def test_bins_become_rows_of_actions(processor):
    values = processor.actions(np.full(14, 128))
    assert values.shape == (2, 7) and values.dtype == np.float32
