import pytest

from apo_core.errors import ObservationError
from apo_vla.inputs.prompt import build_tokenizer, encode_prompts, prompt_tokens


def test_prompts_are_words_padded_on_the_left():
    tokenizer = build_tokenizer(["Lift the cube"])
    words = ["[PAD]", "[UNK]", ":", "cube", "in", "lift", "out", "the"]
    assert [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())] == words
    assert encode_prompts(tokenizer, ["lift the CUBE"], 9).tolist() == [[0, 0, 4, 2, 5, 7, 3, 6, 2]]


def test_an_unknown_word_has_its_own_token():
    tokenizer = build_tokenizer(["lift the cube"])
    assert encode_prompts(tokenizer, ["lift the nut"], 7).tolist() == [[4, 2, 5, 7, 1, 6, 2]]


def test_the_order_of_instructions_does_not_matter():
    texts = ["lift the cube", "stack the cube"]
    assert build_tokenizer(texts).to_str() == build_tokenizer(reversed(texts)).to_str()


@pytest.mark.parametrize("text", ["", "  ", "a b c d e f"])
def test_an_instruction_that_does_not_fit_is_rejected(text):
    with pytest.raises(ObservationError, match="must not be empty and make at most 9 "):
        encode_prompts(build_tokenizer(["a b c d e f"]), [text], 9)


def test_the_length_of_a_prompt_is_that_of_its_tokens():
    text = "stack the blocks in the order of blue, red, and green from top to bottom"
    assert prompt_tokens(text) == 21
    assert encode_prompts(build_tokenizer([text]), [text], 21).shape == (1, 21)
