"""A store's adapter goes to PEFT and does there what it does here."""

import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from adapter_samples import plain_manifest  # noqa: E402
from peft import PeftConfig, PeftModel  # noqa: E402
from small_policy import random_adapter, random_model, small_config  # noqa: E402

from apo_core.adapters.cli.export_peft import export_peft  # noqa: E402
from apo_core.adapters.store import AdapterStore  # noqa: E402
from apo_core.errors import AdapterError  # noqa: E402
from apo_vla.families.small_vla.model import SmallVla  # noqa: E402
from apo_vla.lora.adapter import LoraSettings, adapter_config, attach_lora, stage, swap  # noqa: E402

SETTINGS = LoraSettings(rank=4, alpha=8.0)
SHAPE = small_config()


def model() -> SmallVla:
    return random_model(SHAPE).eval()


def logits(of: SmallVla) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(2, 1, 3, 16, 16, generator=generator)
    state = torch.randn(2, 7, generator=generator)
    prompts = torch.randint(0, 16, (2, 8), generator=generator)
    tokens = torch.randint(0, 256, (2, SHAPE.action_tokens), generator=generator)
    with torch.no_grad():
        return of.action_logits(of.features(images, state), prompts, tokens)


@pytest.fixture
def published(tmp_path: Path):
    """A store with an adapter of random numbers, and the logits of the policy that serves it."""
    adapted = model()
    attach_lora(adapted, SETTINGS)
    tensors = random_adapter(adapted)
    store = AdapterStore(tmp_path / "adapters")
    store.publish(tensors, adapter_config(SETTINGS), plain_manifest())
    swap(adapted, stage(adapted, tensors))
    return store, logits(adapted)


def test_peft_loads_the_folder_and_answers_the_same(published, tmp_path):
    store, served = published
    export_peft(store, 1, tmp_path / "out" / "peft", "some/base")

    assert sorted(os.listdir(tmp_path / "out" / "peft")) == ["adapter_config.json", "adapter_model.safetensors"]
    assert PeftConfig.from_pretrained(tmp_path / "out" / "peft").base_model_name_or_path == "some/base"
    loaded = PeftModel.from_pretrained(model(), tmp_path / "out" / "peft")
    torch.testing.assert_close(logits(loaded.base_model.model), served)
    assert not torch.allclose(logits(model()), served)


def test_nothing_is_overwritten_and_nothing_half_is_left(published, tmp_path):
    store, _ = published
    (tmp_path / "there").mkdir()
    with pytest.raises(AdapterError, match="exists already: name a new folder"):
        export_peft(store, 1, tmp_path / "there")
    with pytest.raises(AdapterError, match="does not exist; versions there"):
        export_peft(store, 2, tmp_path / "none")
    (store.path / "000001" / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(AdapterError, match="has 0 bytes"):
        export_peft(store, 1, tmp_path / "none")
    assert not (tmp_path / "none").exists()
