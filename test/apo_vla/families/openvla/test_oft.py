import numpy as np
import published_checkpoints as published
import pytest
import torch
from policy_calls import batch, deploy
from small_policy import teacher_forced
from torch.nn import functional as F

from apo_core.errors import CheckpointError, ConfigError
from apo_core.types import Observation
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import Pass, Targets
from apo_vla.loading import load_checkpoint
from apo_vla.lora.adapter import LoraSettings
from apo_vla.policy import Prepared, VlaPolicy
from apo_vla.serving.policy import ServingPolicy

POSE = np.array([0.1, -0.05, 1.1, 0.0, 0.7071068, 0.0, 0.7071068], np.float32)
# of the seeded weights: a change here is a change of the model
GOLDEN_FIRST_ROW = [-2.2395, -0.5258, 0.4277, 2.1141, 1.5264, 0.6129, -0.1958]
GOLDEN_BINS = [162, 196, 196, 196, 196, 196, 196]


@pytest.fixture(scope="module")
def policy(oft_folder) -> VlaPolicy:
    return VlaPolicy.load(oft_folder, lora=None)


@pytest.fixture(scope="module")
def discrete_folder(tmp_path_factory):
    return published.make_openvla_oft(tmp_path_factory.mktemp("discrete"), continuous=False)


@pytest.fixture(scope="module")
def discrete(discrete_folder) -> VlaPolicy:
    return VlaPolicy.load(discrete_folder, lora=None)


def seen(seed: int = 0, instruction: str = "lift the red cube", width: float = 0.05) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (84, 84, 3), dtype=np.uint8) for name in ("agentview", "wrist")}
    return Observation(7, images, {"ee_pose": POSE, "gripper_width": np.array([width], np.float32)}, instruction)


def test_golden_actions_of_the_continuous_head(policy):
    values, log_probs = policy.generate(batch(policy, seen()))
    assert values.dtype == np.float32 and values.shape == (1, 56) and not log_probs.any()
    np.testing.assert_allclose(values[0, :7], GOLDEN_FIRST_ROW, atol=2e-3)


def test_golden_bins_of_the_discrete_head(discrete):
    assert discrete.generate(batch(discrete, seen()))[0][0, :7].tolist() == GOLDEN_BINS


def reference_hidden(policy, ready) -> torch.Tensor:
    """Hidden states (56, d) of the published arithmetic: BOS, images, proprioception, prompt, 56 zeros, stop."""
    model, llama = policy.model, policy.model.language_model.model
    pixels = ready.images[0]
    patches = [model.vision_backbone(camera[None])[0] for camera in pixels]
    images = model.projector(torch.cat(patches))
    proprio = model.proprio_projector.fc2(F.gelu(model.proprio_projector.fc1(ready.state[0])))
    ids = ready.prompt_ids[0][ready.prompt_ids[0] != 32000]
    embedded = llama.embed_tokens(ids)
    end = llama.embed_tokens(torch.tensor([2]))
    parts = [embedded[:1], images, proprio[None], embedded[1:], torch.zeros(56, 64), end]
    sequence = torch.cat(parts)[None]
    hidden = llama(inputs_embeds=sequence, attention_mask=torch.zeros(1, 1, *[sequence.shape[1]] * 2)).last_hidden_state
    start = len(images) + 1 + len(ids) - 1  # the token before the first zero
    return hidden[0, start : start + 56]


def test_the_continuous_head_is_the_published_arithmetic(policy, oft_folder):
    ready = batch(policy, seen())
    raw = torch.load(oft_folder / "action_head--150000_checkpoint.pt", weights_only=True)
    w = {name.removeprefix("module.model."): value.float() for name, value in raw.items()}

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x, name):
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    with torch.no_grad():
        x = reference_hidden(policy, ready).reshape(8, 7 * 64)
        x = F.relu(linear(norm(x, "layer_norm1"), "fc1"))
        for i in range(2):
            x = x + F.relu(linear(norm(x, f"mlp_resnet_blocks.{i}.ffn.0"), f"mlp_resnet_blocks.{i}.ffn.1"))
        wanted = linear(norm(x, "layer_norm2"), "fc2")
        found, _ = policy.model.generate(policy.features(ready), ready.prompt_ids)
    torch.testing.assert_close(found.view(8, 7), wanted, rtol=0, atol=1e-3)


def test_discrete_bins_are_the_largest_logits_of_the_action_tokens(discrete):
    ready = batch(discrete, seen())
    with torch.no_grad():
        logits = discrete.model.language_model.lm_head(reference_hidden(discrete, ready))[:, 31744:32000].flip(-1)
        tokens, log_probs = discrete.generate(ready)
        scored = teacher_forced(discrete, ready, tokens)
    assert tokens[0].tolist() == logits.argmax(-1).tolist()
    np.testing.assert_allclose(log_probs[0], logits.log_softmax(-1).max(-1).values, atol=1e-3)
    np.testing.assert_allclose(scored, log_probs, atol=1e-4)


def test_every_input_changes_the_action(policy):
    plain = policy.predict(seen())
    wrist = seen()
    wrist = Observation(7, {**wrist.images, "wrist": 255 - wrist.images["wrist"]}, wrist.state, wrist.instruction)
    for other in (seen(1), seen(0, "open the top drawer"), seen(0, width=0.01), wrist):
        assert np.abs(policy.predict(other).values - plain.values).max() > 1e-4


def test_a_chunk_has_eight_rows_in_contract_units(policy):
    chunk = policy.predict(seen())
    assert chunk.values.shape == (8, 7) and chunk.period_ns == 50_000_000
    assert chunk.tokens is None  # numbers are no tokens
    normalised = policy.generate(batch(policy, seen()))[0].reshape(8, 7)
    np.testing.assert_allclose(chunk.values[3, 0], 5 * (0.5 * (normalised[3, 0] + 1) * 0.05 - 0.02), rtol=1e-4)


def test_padding_of_a_batch_changes_nothing(policy):
    observations = seen(), seen(1, "put both moka pots on the stove")
    together, _ = policy.generate(batch(policy, *observations))
    alone = [policy.generate(batch(policy, o))[0][0] for o in observations]
    np.testing.assert_allclose(together, alone, atol=2e-3)


def test_a_continuous_head_has_no_tokens_to_score(policy):
    with pytest.raises(ConfigError, match=r"continuous head .* puts out no tokens"):
        teacher_forced(policy, batch(policy, seen()), np.zeros((1, 56), np.int64))


def test_a_continuous_head_learns_by_its_distance_from_an_action(oft_folder):
    policy = VlaPolicy.load(oft_folder, lora=LoraSettings(rank=2))
    ready = batch(policy, seen())
    chosen = policy.generate(ready)[0]
    wanted = torch.from_numpy(np.stack([chosen[0], chosen[0] + 0.1]))
    ready = Prepared(*(torch.cat([tensor, tensor]) for tensor in ready))
    mask = torch.ones(2, 56, dtype=torch.bool)
    targets = Targets(wanted, mask, wanted, mask, torch.zeros(2, dtype=torch.int64))
    seen_twice = Pass(policy.features(ready), ready.prompt_ids)
    found = policy.likelihood(LikelihoodSettings(laplace_scale=0.5)).scores(policy.model, seen_twice, targets)
    assert (found.logps[0] - found.logps[1]).item() == pytest.approx(56 * 0.1 / 0.5, rel=1e-3)
    assert found.l1.tolist() == pytest.approx([0.0, 0.1], abs=1e-5)
    found.logps[1].backward()
    learning = [name for name, p in policy.model.named_parameters() if p.grad is not None]
    assert learning and all("language_model" in name and "lora_" in name for name in learning)


def test_the_discrete_one_learns(discrete_folder):
    policy = VlaPolicy.load(discrete_folder, lora=LoraSettings(rank=2))
    ready = batch(policy, seen())
    teacher_forced(policy, ready, policy.generate(ready)[0]).sum().backward()
    learning = [name for name, p in policy.model.named_parameters() if p.grad is not None]
    assert learning and all("language_model" in name and "lora_" in name for name in learning)


def test_the_proprioception_token_is_optional(tmp_path):
    folder = published.make_openvla_oft(tmp_path / "plain", proprio=False)
    chunk = VlaPolicy.load(folder, lora=None).predict(seen())
    assert chunk.values.shape == (8, 7)


def test_state_must_be_deployed_for_a_projector(oft_copy):
    deploy(oft_copy, state=[])
    with pytest.raises(CheckpointError, match=r"state = \[\], the checkpoint reads 8 numbers"):
        load_checkpoint(oft_copy)


def test_film_is_rejected_by_name(oft_copy):
    (oft_copy / "vision_backbone--150000_checkpoint.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"vision_backbone--150000_checkpoint.pt: .*FiLM are not supported"):
        load_checkpoint(oft_copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("module.model.fc2.bias"), "'model.fc2.bias' is missing"),
        (lambda t: t.update(extra=torch.ones(1)), "'extra' is unexpected"),
        (lambda t: t.update({"module.model.fc2.bias": torch.ones(6)}), r"'model.fc2.bias' has shape \(6,\)"),
        (lambda t: t["module.model.fc1.bias"].fill_(float("inf")), "'model.fc1.bias' is not finite"),
    ],
)
def test_a_component_that_does_not_fit_is_rejected(oft_copy, change, message):
    path = oft_copy / "action_head--150000_checkpoint.pt"
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(oft_copy)


class Evil:
    def __reduce__(self):
        return print, ("this must not run",)


def test_only_tensors_are_unpickled(oft_copy, capsys):
    torch.save({"a": Evil()}, oft_copy / "action_head--150000_checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"action_head--150000_checkpoint.pt: holds more than tensors") as caught:
        load_checkpoint(oft_copy)
    assert "must not run" not in capsys.readouterr().out
    assert "weights_only" not in str(caught.value)


def test_two_heads_are_one_too_many(oft_copy):
    head = oft_copy / "action_head--150000_checkpoint.pt"
    (oft_copy / "action_head--50000_checkpoint.pt").write_bytes(head.read_bytes())
    with pytest.raises(CheckpointError, match="keep one of them"):
        load_checkpoint(oft_copy)


def test_other_actions_have_the_same_logits(discrete):
    ready = batch(discrete, seen(), seen(1))
    features, tokens = discrete.features(ready), torch.zeros(2, 56, dtype=torch.long)
    with torch.no_grad():
        logits, others = discrete.model.completion_logits(features, ready.prompt_ids, tokens, [1], tokens[:1])
    torch.testing.assert_close(others[0], logits[1])


@pytest.mark.parametrize("head", ["policy", "discrete"])
def test_it_is_served_in_whole_chunks(request, head):
    policy = request.getfixturevalue(head)
    served = ServingPolicy(policy).predict(seen(), rows=3)
    np.testing.assert_array_equal(served.values, policy.predict(seen()).values[:3])
