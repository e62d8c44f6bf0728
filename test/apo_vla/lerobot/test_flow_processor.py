import numpy as np
import published_checkpoints
import published_flows
import pytest

from apo_core.errors import DecodeError, ObservationError
from apo_vla.inputs.camera_views import CameraViews
from apo_vla.lerobot.flow_processor import NO_TOKEN, LeRobotFlowProcessor, line_prompt, state_prompt
from apo_vla.lerobot.statistics import LeRobotStatistics

STATISTICS = LeRobotStatistics(
    action_low=(-1.0, 0.0),
    action_high=(3.0, 1.0),
    state_low=(0.0, -1.0),
    state_high=(2.0, 1.0),
    state=("joints",),
    action_scale=(2.0, 1.0),
    action_offset=(),
    contract_sha256="c0ffee",
)


@pytest.fixture
def make():
    def build(style=line_prompt, bos=True, length=24, centred=True) -> LeRobotFlowProcessor:
        tokenizer = published_checkpoints.gemma_tokenizer() if bos else published_flows.smollm_tokenizer()
        return LeRobotFlowProcessor(CameraViews(("front",)), 16, length, tokenizer, STATISTICS, style, bos, centred)

    return build


def text_of(processor, ids) -> str:
    return processor._tokenizer.decode([int(i) for i in ids if i != NO_TOKEN], skip_special_tokens=False)


@pytest.mark.parametrize(
    ("text", "bos", "wanted"),
    [
        ("lift it", True, "<bos>lift it\n"),
        ("lift it\n", True, "<bos>lift it\n"),
        ("Lift the red_cube ", True, "<bos>Lift the red_cube \n"),
        ("lift it", False, "lift it\n"),
    ],
)
def test_an_instruction_is_a_line(make, text, bos, wanted):
    processor = make(bos=bos)
    ids = processor.prompt(text, np.zeros(2, np.float32))
    assert ids.shape == (24,) and ids.dtype == np.int64
    assert text_of(processor, ids) == wanted.replace("_", "<unk>")


def test_pi05_has_the_state_in_its_prompt(make):
    processor = make(state_prompt, length=60)
    ids = processor.prompt(" Lift the red_cube\n", np.array([-1.0, 0.0, 1.2, -1.5], np.float32))
    assert text_of(processor, ids) == "<bos>Task: Lift the red cube, State: 0 128 255 -1;\nAction: "


def test_padding_stands_on_the_left_and_is_no_token(make):
    ids = make().prompt("ab", np.zeros(2, np.float32))
    assert ids.tolist() == [NO_TOKEN] * 20 + [2, 1000, 1001, 108]


@pytest.mark.parametrize(("text", "length"), [("", 24), (" \n", 24), ("abcdef", 7)])
def test_an_empty_or_long_instruction_is_rejected(make, text, length):
    with pytest.raises(ObservationError, match=f"must not be empty and make at most {length}"):
        make(length=length).prompt(text, np.zeros(2, np.float32))


def test_state_is_normalised_and_actions_are_of_the_contract(make):
    processor = make()
    assert processor.state({"joints": np.array([2.0, 0.0])}).tolist() == [1.0, 0.0]
    np.testing.assert_allclose(processor.actions(np.array([-1.0, 1.0, 2.0, 0.0], np.float32)), [[-2, 1], [10, 0.5]])
    with pytest.raises(DecodeError, match="returned nan"):
        processor.actions(np.array([0.0, np.nan], np.float32))


@pytest.mark.parametrize(("centred", "first"), [(True, 4), (False, 8)])
def test_images_are_padded_as_the_family_does(make, centred, first):
    found = make(centred=centred).images({"front": np.full((8, 16, 3), 255, np.uint8)}, None)
    assert found.shape == (1, 3, 16, 16) and found.dtype == np.float32
    assert (found[0, :, first : first + 8] == 1).all() and (found == 1).sum() == 3 * 8 * 16
