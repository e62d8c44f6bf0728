import numpy as np
import pytest
from published_checkpoints import llama_tokenizer

from apo_core.errors import DecodeError, ObservationError
from apo_vla.actions.codec import ActionCodec
from apo_vla.families.openvla.images import ImageSettings
from apo_vla.families.openvla.processor import BOS, EMPTY, PROMPT, ContinuousProcessor, OpenVlaProcessor
from apo_vla.inputs.camera_views import CameraViews

PAD = 32000


@pytest.fixture
def make():
    def processor(kind=OpenVlaProcessor, length=128) -> OpenVlaProcessor:
        image = ImageSettings(8, ((0.5,) * 3,), ((0.5,) * 3,), False)
        codec = ActionCodec([-1.0, 0.0], [1.0, 2.0], [True, True])
        return kind(CameraViews(("front",)), image, PROMPT, length, PAD, llama_tokenizer(), None, codec)

    return processor


def test_a_prompt_is_padded_behind_bos_and_ends_with_the_empty_token(make):
    ids = make().prompt("Lift the cube", np.zeros(0))
    assert ids.shape == (128,) and ids.dtype == np.int64
    assert ids[0] == BOS and ids[1] == PAD and ids[-1] == EMPTY and ids[-2] != EMPTY
    assert ids.tolist() == make().prompt("lift the cube", np.zeros(0)).tolist()


def test_spaces_of_an_instruction_stay_as_in_the_authors_code(make):
    spaced, plain = (make().prompt(text, np.zeros(0)) for text in ("lift the cube ", "lift the cube"))
    assert spaced.tolist() != plain.tolist()


@pytest.mark.parametrize(("text", "length"), [("", 128), (" ", 128), ("lift the cube", 16)])
def test_an_empty_or_too_long_instruction_is_rejected(make, text, length):
    with pytest.raises(ObservationError, match=rf"at most {length} \(deployment.yaml: prompt_length\)"):
        make(length=length).prompt(text, np.zeros(0))


def test_a_missing_camera_is_named(make):
    with pytest.raises(ObservationError, match=r"images \['front'\] are missing"):
        make().images({"side": np.zeros((8, 8, 3), np.uint8)}, None)


def test_images_of_all_cameras_are_stacked(make):
    found = make().images({"front": np.full((8, 8, 3), 255, np.uint8)}, None)
    assert found.shape == (1, 3, 8, 8) and (found == 1.0).all()


def test_a_continuous_head_predicts_normalised_actions(make):
    processor = make(ContinuousProcessor)
    np.testing.assert_allclose(processor.actions(np.array([0.0, 0.0, 1.0, -1.0])), [[0.0, 1.0], [1.0, 0.0]])
    with pytest.raises(DecodeError, match="the action head returned nan"):
        processor.actions(np.array([0.0, np.nan]))
