import pytest
import torch
from torch import nn

from apo_core.errors import CheckpointError
from apo_vla.families.openvla.component_files import read_component


def save(folder, tensors, step: int = 10) -> None:
    torch.save(tensors, folder / f"action_head--{step}_checkpoint.pt")


def test_no_file_is_no_component(tmp_path):
    (tmp_path / "action_head--notes.txt").write_text("")
    assert read_component(tmp_path, "action_head") is None


def test_a_component_is_read_without_the_prefix_of_parallel_training(tmp_path):
    save(tmp_path, {"module.weight": torch.ones(2, 3), "bias": torch.zeros(2)})
    component = read_component(tmp_path, "action_head")
    assert set(component.tensors) == {"weight", "bias"} and component.shape("weight") == (2, 3)
    with pytest.raises(CheckpointError, match="'scale' is missing"):
        component.shape("scale")


def test_it_fills_a_module_in_the_requested_type(tmp_path):
    save(tmp_path, {"weight": torch.full((2, 3), 0.5), "bias": torch.ones(2)})
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    read_component(tmp_path, "action_head").fill(module, "cpu", torch.bfloat16)
    assert module.weight.dtype == torch.bfloat16 and module.weight.tolist() == [[0.5] * 3] * 2


def test_every_fault_of_a_module_is_named(tmp_path):
    save(tmp_path, {"weight": torch.ones(3, 3), "extra": torch.tensor([float("nan")])})
    with pytest.raises(CheckpointError) as error:
        read_component(tmp_path, "action_head").fill(nn.Linear(3, 2), "cpu", torch.float32)
    for fault in ("'bias' is missing", "'extra' is unexpected", "has shape (3, 3), the model (2, 3)", "is not finite"):
        assert fault in str(error.value)


def test_what_is_not_a_tensor_is_rejected(tmp_path):
    save(tmp_path, {"weight": torch.ones(1), "steps": 3})
    with pytest.raises(CheckpointError, match=r"\['steps'\] are no tensors"):
        read_component(tmp_path, "action_head")


class _Program:
    def __reduce__(self):
        return print, ("it ran",)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["pickle", "program"])
def test_no_advice_to_run_what_a_file_holds_is_passed_on(tmp_path, capsys, kind):
    if kind == "pickle":
        save(tmp_path, {"weight": _Program()})
    else:
        torch.jit.save(torch.jit.script(nn.Linear(1, 1)), tmp_path / "action_head--10_checkpoint.pt")
    with pytest.raises(CheckpointError, match="holds more than tensors, or is damaged") as caught:
        read_component(tmp_path, "action_head")
    assert "weights_only" not in str(caught.value) and "it ran" not in capsys.readouterr().out
