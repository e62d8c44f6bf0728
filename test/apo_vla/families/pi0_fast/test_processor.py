import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from apo_core.errors import DecodeError, ObservationError
from apo_vla.actions.codec import ActionCodec
from apo_vla.families.pi0_fast.processor import BOS, PAD, Pi0FastProcessor
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.inputs.padding import resize_by_pil

WORDS = ["<pad>", "<eos>", "<bos>", "<unk>", "Task:", "lift", "Lift", "the", "cube,", "State:", "0", "255;", "128"]


class Statistics:
    def codec(self, bins):
        return ActionCodec([-1.0, 0.0], [1.0, 2.0], [True, True], bins)


class Fast:
    """Tokens are the numbers of the chunk, in tenths."""

    vocabulary = 11

    def decode(self, ids, rows, size):
        if len(ids) != rows * size:
            raise DecodeError(f"{len(ids)} tokens")
        return ids.reshape(rows, size) / 10


@pytest.fixture
def make():
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()

    def processor(openpi=False, length=12, black=()) -> Pi0FastProcessor:
        views = CameraViews(("front",))
        return Pi0FastProcessor(views, 8, length, 2, 2, openpi, tokenizer, Fast(), Statistics(), black)

    return processor


def words(ids) -> list[str]:
    return [WORDS[i] for i in ids]


def test_a_prompt_is_padded_on_the_left_and_holds_the_state_in_bins(make):
    ids = make().prompt("Lift the_cube", np.array([-1.0, 1.0]))
    assert ids[0] == PAD and len(ids) == 12
    assert words(ids[ids != PAD]) == ["<bos>", "Task:", "Lift", "the", "cube,", "State:", "0", "255;", "<bos>"]


def test_openpi_has_lower_case_and_one_bos(make):
    ids = make(openpi=True).prompt("Lift the cube", np.array([0.0, 1.0]))
    assert words(ids[ids != PAD]) == ["<bos>", "Task:", "lift", "the", "cube,", "State:", "128", "255;"]
    assert (ids == BOS).sum() == 1


@pytest.mark.parametrize(("text", "length"), [("  ", 12), ("lift the cube", 8)])
def test_an_empty_or_too_long_instruction_is_rejected(make, text, length):
    with pytest.raises(ObservationError, match=rf"at most {length} \(config.json: tokenizer_max_length\)"):
        make(length=length).prompt(text, np.array([0.0, 1.0]))


def test_tokens_before_the_end_are_decoded(make):
    found = make().actions(np.array([10, 10, 0, 0, 11, 11]))
    np.testing.assert_allclose(found, [[1.0, 2.0], [0.0, 1.0]])


def test_tokens_without_an_end_are_no_action(make):
    with pytest.raises(DecodeError, match="did not end its action within 4 FAST tokens"):
        make().actions(np.array([1, 2, 3, 4]))


def test_a_processor_of_openpi_takes_its_filter_and_black_images(make):
    views = {"front": np.tile(np.array([0, 255], np.uint8)[:, None, None], (16, 32, 3))}
    alone, openpi = make().images(views, None), make(openpi=True, black=(1, 0)).images(views, None)
    assert alone.shape == (1, 3, 8, 8) and openpi.shape == (3, 3, 8, 8)
    assert (openpi[:2] == -1).all()
    np.testing.assert_array_equal(openpi[2], resize_by_pil(views["front"], 8))
