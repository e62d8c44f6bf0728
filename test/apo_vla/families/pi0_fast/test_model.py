import shutil

import numpy as np
import published_checkpoints as published
import pytest
import torch
from policy_calls import batch, deploy
from small_policy import teacher_forced
from transformers import PaliGemmaConfig, PaliGemmaForConditionalGeneration

from apo_core.errors import DecodeError, ObservationError
from apo_core.types import Observation
from apo_vla.families.pi0_fast.model import Pi0Fast
from apo_vla.inputs.padding import resize_by_pil, resize_with_padding
from apo_vla.lora.adapter import LoraSettings, lora_state
from apo_vla.policy import VlaPolicy

POSE = np.array([0.1, -0.05, 1.1, 0.0, 0.7071068, 0.0, 0.7071068], np.float32)
# of the seeded weights: a change here is a change of the model
GOLDEN_TOKENS = [467, 418, 418, 243, 440, 8, 326, 326, 184, 90, 143, 358]
GOLDEN_LOG_PROBS = [
    -4.338,
    -3.7862,
    -3.7735,
    -3.6699,
    -3.8265,
    -4.1245,
    -4.2087,
    -3.7568,
    -4.6066,
    -3.8039,
    -4.307,
    -4.0423,
]


@pytest.fixture(scope="module")
def policy(pi0_folder) -> VlaPolicy:
    return VlaPolicy.load(pi0_folder, lora=None)


def seen(seed: int = 0, instruction: str = "Lift the red_cube", width: float = 0.02) -> Observation:
    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for name in ("agentview", "wrist")}
    return Observation(7, images, {"ee_pose": POSE, "gripper_width": np.array([width], np.float32)}, instruction)


def decoded(policy, ids) -> str:
    return policy.processor._tokenizer.decode([int(i) for i in ids], skip_special_tokens=False)


def test_golden_tokens(policy):
    tokens, log_probs = policy.generate(batch(policy, seen()))
    assert tokens[0].tolist() == GOLDEN_TOKENS
    np.testing.assert_allclose(log_probs[0], GOLDEN_LOG_PROBS, atol=2e-3)


@pytest.fixture(scope="module")
def openpi(pi0_folder, tmp_path_factory) -> VlaPolicy:
    folder = shutil.copytree(pi0_folder, tmp_path_factory.mktemp("openpi") / "pi0")
    deploy(folder, conventions="openpi")
    return VlaPolicy.load(folder, lora=None)


@pytest.mark.parametrize("conventions", ["lerobot", "openpi"])
def test_logits_are_those_of_transformers_paligemma(request, policy, conventions):
    policy = request.getfixturevalue("openpi") if conventions == "openpi" else policy
    ready, model = batch(policy, seen()), policy.model
    images = ready.images[0]
    if conventions == "openpi":
        # openpi's policies give its FAST model three images, and mask none of them
        views = [resize_by_pil(seen().images[name], 28) for name in ("agentview", "wrist")]
        images = torch.from_numpy(np.stack([*views, np.full((3, 28, 28), -1.0, np.float32)]))
    tokens = torch.tensor([[3, 77, 5, policy.config.bins - 1]])
    prompt = ready.prompt_ids[0][ready.prompt_ids[0] != 0]
    ids = [257152 - 1 - 128 - 3, 257152 - 1 - 128 - 77, 257152 - 1 - 128 - 5]
    text = torch.cat([prompt, torch.tensor([*policy.config.intro, *ids])])
    reference = PaliGemmaForConditionalGeneration(model.paligemma.config).eval()
    reference.model.load_state_dict(model.paligemma.state_dict())
    reference.lm_head.weight = reference.model.language_model.embed_tokens.weight
    image_id = model.paligemma.config.image_token_id
    sequence = torch.cat([torch.full((4 * len(images),), image_id), text])[None]
    suffix = len(policy.config.intro) + len(ids)
    types = torch.zeros_like(sequence)
    types[:, -suffix:] = 1
    places = torch.arange(sequence.shape[1])
    if conventions == "openpi":
        places[-suffix:] += 1
    with torch.no_grad():
        logits = reference(
            input_ids=sequence,
            pixel_values=images,
            token_type_ids=types,
            attention_mask=torch.ones_like(sequence),
            position_ids=places[None],
        ).logits[0, -4:]
        found = model.action_logits(policy.features(ready), ready.prompt_ids, tokens)[0]
    codes = [257152 - 1 - 128 - t for t in range(policy.config.bins - 1)]
    torch.testing.assert_close(found, logits[:, [*codes, policy.config.end_id]], rtol=0, atol=2e-3)


def test_logprobs_are_those_of_generate_and_padding_changes_nothing(policy):
    observations = seen(), seen(1, "put both moka pots on the stove", 0.03)
    tokens, log_probs = policy.generate(batch(policy, *observations))
    for row, observation in enumerate(observations):
        alone, _ = policy.generate(batch(policy, observation))
        assert alone[0].tolist() == tokens[row][: alone.shape[1]].tolist()
    end = policy.config.bins - 1
    counted = np.cumsum(tokens == end, axis=1) - (tokens == end) == 0
    with torch.no_grad():
        found = teacher_forced(policy, batch(policy, *observations), tokens).numpy()
    np.testing.assert_allclose(found[counted], log_probs[counted], atol=2e-3)


def test_every_input_changes_its_output(policy):
    plain = seen()
    wrist = Observation(7, {**plain.images, "wrist": 255 - plain.images["wrist"]}, plain.state, plain.instruction)
    tokens = np.arange(6)[None]
    first = teacher_forced(policy, batch(policy, plain), tokens)
    for other in (seen(1), wrist, seen(0, "open the drawer"), seen(0, width=0.035)):
        assert (teacher_forced(policy, batch(policy, other), tokens) - first).abs().max() > 1e-3


def test_the_prompt_of_lerobot_has_the_state_and_a_second_bos(policy):
    ids = policy.processor.prompt(" Lift the red_cube\n", np.array([-1.0, 0.0, 1.2, -1.5], np.float32))
    ids = ids[ids != 0]
    assert decoded(policy, ids) == "<bos>Task: Lift the red cube, State: 0 128 255 -1;\n<bos>"
    assert decoded(policy, policy.config.intro) == "Action: "


def test_openpi_lower_cases_has_one_bos_and_decodes_one_position_higher(pi0_copy, policy):
    deploy(pi0_copy, conventions="openpi")
    openpi = VlaPolicy.load(pi0_copy, lora=None)
    ids = openpi.processor.prompt("Lift the red_cube", np.zeros(1, np.float32))
    assert decoded(openpi, ids[ids != 0]) == "<bos>Task: lift the red cube, State: 128;\n"
    known = torch.ones(1, 6, dtype=torch.bool)
    assert policy.model._positions(known, 4).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert openpi.model._positions(known, 4).tolist() == [[0, 1, 2, 3, 5, 6]]


@pytest.mark.parametrize(
    ("conventions", "cameras", "black"),
    [
        ("lerobot", ["agentview", "wrist"], []),
        ("openpi", ["agentview", "wrist"], [2]),
        ("openpi", ["agentview"], [1, 2]),
        ("openpi_droid", ["agentview", "wrist"], [1]),
        ("openpi_droid", ["agentview"], [1, 2]),
    ],
)
def test_openpi_s_model_sees_three_images(pi0_copy, conventions, cameras, black):
    deploy(pi0_copy, conventions=conventions, cameras=cameras)
    images = batch(VlaPolicy.load(pi0_copy, lora=None), seen()).images[0]
    assert len(images) == len(cameras) + len(black)
    assert [place for place, image in enumerate(images) if bool((image == -1).all())] == black


def test_openpi_widens_ranges_by_its_epsilon(policy, openpi):
    # openpi: (x - q01) / (q99 - q01 + 1e-6) * 2 - 1, and back
    state = {"ee_pose": POSE, "gripper_width": np.array([0.02], np.float32)}
    data = published.OFT_STATISTICS["libero_spatial_no_noops"]["proprio"]
    values = np.array([*(policy.processor.state(state) + 1) / 2], np.float64)
    q01, q99 = np.array(data["q01"]), np.array(data["q99"])
    wanted = values * (q99 - q01) / (q99 - q01 + 1e-6) * 2 - 1
    np.testing.assert_allclose(openpi.processor.state(state), wanted, atol=1e-6)
    found = openpi.processor._codec.denormalise(np.ones((1, 7)))[0]
    action = published.NORM_STATS["bridge_orig"]["action"]["q99"]
    np.testing.assert_allclose(found[0], 20 * (action[0] + 1e-6), rtol=1e-6)


def test_tokens_become_actions_in_contract_units(policy):
    normalised = np.array([[0.5] * 7, [0.5] * 7])
    tokens = np.append(policy.config.fast.encode(normalised), policy.config.bins - 1)
    values = policy.processor.actions(tokens)
    # DCT of a constant 0.5 over two rows: 0.5 sqrt(2) 10 = 7.07, rounded to 7
    rounded = 7 / (10 * 2**0.5)
    q01, q99 = (np.array(published.NORM_STATS["bridge_orig"]["action"][name]) for name in ("q01", "q99"))
    data = 0.5 * (rounded + 1) * (q99 - q01) + q01
    np.testing.assert_allclose(values[0], [*(20 * data[:6]), 1 - 2 * data[6]], rtol=1e-5)
    assert values.shape == (2, 7) and values.dtype == np.float32


def test_a_chunk_has_no_tokens_as_none_is_of_one_value(policy, monkeypatch):
    tokens = np.append(policy.config.fast.encode(np.full((2, 7), 0.5)), policy.config.bins - 1)
    answer = tokens[None], np.full((1, len(tokens)), -1.0, np.float32)
    monkeypatch.setattr(policy, "generate", lambda batch, committed: answer)
    chunk = policy.predict(seen())
    assert chunk.values.shape == (2, 7) and chunk.tokens is None


def test_what_is_no_action_is_a_fault_and_never_zeros(policy):
    end = policy.config.bins - 1
    for tokens, message in (
        ([5, 6, 7], "did not end its action"),
        ([end], "0 FAST tokens"),
        ([5, end], "1 FAST token"),
    ):
        with pytest.raises(DecodeError, match=message):
            policy.processor.actions(np.array(tokens))


def test_log_probs_are_shared_evenly_by_the_rows(policy):
    assert policy.processor.row_log_probs(np.array([-1.0, -2.0, -3.0])).tolist() == [-3.0, -3.0]


def test_images_are_padded_with_black():
    image = np.full((24, 48, 3), 255, np.uint8)
    found = resize_with_padding(image, 28)
    assert found.shape == (3, 28, 28)
    np.testing.assert_allclose(found[:, 7:21], 1, atol=1e-6)
    assert (found[:, :7] == -1).all() and (found[:, 21:] == -1).all()


def test_lora_leaves_the_vision_tower_alone(pi0_folder):
    policy = VlaPolicy.load(pi0_folder, lora=LoraSettings(rank=2))
    names = list(lora_state(policy.model))
    assert len(names) == 2 * 7 * 2
    assert all(name.startswith("base_model.model.paligemma.language_model.layers.") for name in names)
    ready = batch(policy, seen())
    teacher_forced(policy, ready, np.arange(4)[None]).sum().backward()
    assert {n for n, p in policy.model.named_parameters() if p.grad is not None} <= {
        n for n, _ in policy.model.named_parameters() if "lora_" in n
    }


def test_an_empty_instruction_is_rejected(policy):
    with pytest.raises(ObservationError, match="must not be empty"):
        policy.processor.prompt(" ", np.zeros(8))


def test_sizes_of_the_published_model(policy):
    text = {"vocab_size": 257152, "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 18}
    text |= {"num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256}
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
    vision |= {"image_size": 224, "patch_size": 14, "vision_use_head": False}
    config = PaliGemmaConfig(vision_config=vision, text_config=text, projection_dim=2048)
    with torch.device("meta"):
        model = Pi0Fast(policy.config, config)
    assert sum(p.numel() for p in model.parameters()) == 2_923_335_408


@pytest.mark.parametrize("conventions", ["policy", "openpi"])
def test_other_actions_are_scored_in_the_pass_of_the_own_ones(request, conventions):
    found = request.getfixturevalue(conventions)
    ready = found.prepare([seen(i).images for i in range(3)], [seen(i).state for i in range(3)], "Lift the red_cube")
    generator = torch.Generator().manual_seed(0)
    own, others = (torch.randint(0, 512, (rows, length), generator=generator) for rows, length in ((3, 9), (2, 5)))
    features = found.features(ready)
    with torch.no_grad():
        logits, other_logits = found.model.completion_logits(features, ready.prompt_ids, own, [0, 2], others)
        apart = found.model.action_logits(features, ready.prompt_ids, own)
        wanted = found.model.action_logits(features[[0, 2]], ready.prompt_ids[[0, 2]], others)
    torch.testing.assert_close(logits, apart, atol=2e-4, rtol=0)
    torch.testing.assert_close(other_logits, wanted, atol=2e-4, rtol=0)
