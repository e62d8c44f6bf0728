import pytest

from apo_core.errors import CheckpointError
from apo_vla.inputs.prompt import build_tokenizer
from apo_vla.inputs.text_tokenizer import find_tokenizer, read_tokenizer


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(build_tokenizer(["lift the cube"]).to_str())
    return file


def test_a_tokenizer_is_read(path):
    assert read_tokenizer(path).encode("lift the cube").tokens == ["lift", "the", "cube"]


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        (["tokenizer.json"], "tokenizer.json", "tokenizer.json"),
        (["tokenizer/tokenizer.json"], "tokenizer.json", "tokenizer/tokenizer.json"),
        (["tokenizer.json", "tokenizer/tokenizer.json"], "tokenizer.json", "tokenizer.json"),
        (["own/tokenizer.json"], "own", "own/tokenizer.json"),
        ([], "tokenizer.json", "tokenizer.json"),
        (["tokenizer/tokenizer.json"], "other.json", "other.json"),
    ],
)
def test_a_tokenizer_is_found_where_lerobot_saves_it(tmp_path, files, name, found):
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("{}")
    assert find_tokenizer(tmp_path, name) == tmp_path / found


def test_the_largest_token_must_be_below_the_vocabulary(path):
    size = read_tokenizer(path).get_vocab_size()
    read_tokenizer(path, size)
    with pytest.raises(CheckpointError, match=f"has token {size - 1}, the model's vocabulary ends at {size - 2}"):
        read_tokenizer(path, size - 1)


@pytest.mark.parametrize("text", [None, "", "{}", "[1]"])
def test_an_unreadable_file_is_a_checkpoint_error(tmp_path, text):
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"tokenizer.json: cannot be read"):
        read_tokenizer(tmp_path / "tokenizer.json")
