"""A checkpoint that acts: observations in, action chunks out; the same preparation serves training."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from tokenizers import Tokenizer

from apo_core.contract.action_range import DataRange
from apo_core.errors import AdapterError, ObservationError
from apo_core.types import ActionChunk, Observation
from apo_vla.actions.classes import ActionClasses
from apo_vla.actions.codec import ActionCodec
from apo_vla.likelihood.settings import LikelihoodSettings
from apo_vla.likelihood.types import ActionLikelihood
from apo_vla.loading import load_checkpoint
from apo_vla.lora.adapter import LoraSettings, Staged, attach_lora, second_slot, stage, swap, zero
from apo_vla.model import Statistics, VlaModel, guided_model

Generate: TypeAlias = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class Prepared(NamedTuple):
    """A batch as the model takes it, on its device."""

    images: torch.Tensor  # float32 (B, cameras, C, S, S)
    state: torch.Tensor  # float32 (B, n), normalised
    prompt_ids: torch.Tensor  # int64 (B, P)


class VlaPolicy:
    """A model with its tokenizer, statistics and adapter. Safe to use from several threads: `lock` guards the model.

    Args:
        model: moved to `device`.
        tokenizer: of the prompts.
        statistics: of the training data.
        base_sha256: hash of the weights, "" for a model that was never saved.
        statistics_sha256: hash of the statistics.
        lora: adapter to attach with B = 0, None for none.
        device: torch device.
    """

    def __init__(
        self,
        model: VlaModel,
        tokenizer: Tokenizer,
        statistics: Statistics,
        base_sha256: str = "",
        statistics_sha256: str = "",
        lora: LoraSettings | None = None,
        device: str = "cpu",
    ):
        if lora is not None:
            attach_lora(model, lora)
        self.model = model.to(device).eval()
        self.config = model.config
        self.tokenizer = tokenizer
        self.statistics = statistics
        self.codec: ActionCodec = statistics.codec(model.config.bins)
        self.classes = ActionClasses(self.codec.classes, device)
        self.model.classes = self.classes
        self.base_sha256 = base_sha256
        self.statistics_sha256 = statistics_sha256
        self.processor = model.make_processor(tokenizer, statistics)
        self.lora = lora
        self.device = torch.device(device)
        self.lock = threading.RLock()
        self._adapter_version = 0

    @classmethod
    def load(
        cls,
        folder: Path | str,
        device: str = "cpu",
        lora: LoraSettings | None = LoraSettings(),  # noqa: B008
        dtype: torch.dtype | None = None,
    ) -> VlaPolicy:
        """Reads a checkpoint folder of any family.

        Args:
            folder: see `load_checkpoint`.
            device: torch device.
            lora: adapter to attach with B = 0, None for none.
            dtype: of the weights in memory; None takes the family's own (see `load_checkpoint`).

        Raises:
            CheckpointError: see `load_checkpoint`.
        """
        checkpoint = load_checkpoint(Path(folder), device, dtype)
        return cls(
            checkpoint.model,
            checkpoint.tokenizer,
            checkpoint.statistics,
            checkpoint.base_sha256,
            checkpoint.statistics_sha256,
            lora,
            device,
        )

    @property
    def contract_sha256(self) -> str:
        """Contract of the data the policy was trained on."""
        return self.statistics.contract_sha256

    @property
    def data_range(self) -> DataRange | None:
        """Of the training data's actions; None where they had the units of the contract."""
        return self.codec.data_range if self.statistics.converts_units else None

    def likelihood(self, settings: LikelihoodSettings | None = None) -> ActionLikelihood:
        """How actions are scored under this policy; without settings, by its own bins alone."""
        settings = settings or LikelihoodSettings(action_tolerance=0.0)
        return self.model.make_likelihood(self.codec, settings, self.device)

    @property
    def state_size(self) -> int:
        """Numbers of state that the model reads."""
        return self.config.state_size

    @property
    def chunk(self) -> int:
        """Rows of an action chunk."""
        return self.config.chunk

    @property
    def adapter_version(self) -> int:
        """Adapter that serves; 0 is the base policy."""
        return self._adapter_version

    def prepare(
        self,
        images: Sequence[Mapping[str, np.ndarray]],
        states: Sequence[Mapping[str, np.ndarray]],
        instructions: str | Sequence[str],
        rng: np.random.Generator | None = None,
    ) -> Prepared:
        """Turns B observations into a batch; needs no lock.

        Args:
            images: B times {camera: uint8 (H, W, 3)}.
            states: B times {state key: float32 (n,)}.
            instructions: one for all, or B.
            rng: training augmentation is drawn from it; None means none, as when serving.

        Raises:
            ObservationError: a camera or state is missing or of wrong shape, or an instruction is too long.
        """
        texts = [instructions] * len(images) if isinstance(instructions, str) else list(instructions)
        if not len(images) == len(states) == len(texts) or not texts:
            raise ObservationError(
                f"{len(images)} images, {len(states)} states, {len(texts)} instructions: must be equal"
            )
        pixels = np.stack([self.processor.images(views, rng) for views in images])
        state = np.stack([self.processor.state(part) for part in states])
        prompts = np.stack([self.processor.prompt(text, part) for text, part in zip(texts, state, strict=True)])
        return Prepared(*(torch.from_numpy(array).to(self.device) for array in (pixels, state, prompts)))

    def features(self, batch: Prepared) -> torch.Tensor:
        """The model's features of a batch without gradient, (B, N, d)."""
        with self.lock, torch.no_grad():
            return self.model.features(batch.images, batch.state)

    def generate(self, batch: Prepared, committed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Greedy decoding: tokens (B, L) and their log-probabilities float32 (B, L), nats.

        Tokens are int64; a model with a continuous head returns float32 normalised actions, of log-probability 0.

        Args:
            batch: of `prepare`.
            committed: float32 (B, F, A), contract units, rows that the chunks begin with; None or no rows: none.

        Raises:
            ValueError: the model cannot be given rows, or as many as a chunk has.
        """
        generate: Generate = self.model.generate
        if committed is not None and committed.shape[1]:
            generate = self._led_by(committed)
        with self.lock, torch.inference_mode():
            features = self.model.features(batch.images, batch.state)
            tokens, log_probs = generate(features, batch.prompt_ids)
        return tokens.cpu().numpy(), log_probs.cpu().numpy()

    def _led_by(self, committed: np.ndarray) -> Generate:
        """The model's `generate` with rows (B, F, A), contract units, to begin with. Raises ValueError."""
        model = guided_model(self.model)
        if model is None:
            raise ValueError("this model predicts whole chunks; it cannot be given actions to begin with")
        if committed.shape[1] >= self.chunk:
            raise ValueError(f"{committed.shape[1]} committed rows must be fewer than the {self.chunk} of the chunk")
        rows = torch.from_numpy(self.codec.normalise(committed).astype(np.float32)).to(self.device)
        return partial(model.generate, committed=rows)

    def predict(self, observation: Observation, committed: np.ndarray | None = None) -> ActionChunk:
        """The chunk for one observation, with the version of the adapter that made it.

        Args:
            observation: of the contract.
            committed: float32 (F, A), contract units, rows that the chunk begins with; None or no rows: none.

        Raises:
            ObservationError: see `prepare`.
            DecodeError: the model's tokens are no action.
            ValueError: see `generate`.
        """
        batch = self.prepare([observation.images], [observation.state], observation.instruction)
        with self.lock:
            version = self._adapter_version
            tokens, log_probs = self.generate(batch, None if committed is None else committed[None])
        return ActionChunk(
            observation_stamp_ns=observation.stamp_ns,
            period_ns=self.config.period_ns,
            values=self.processor.actions(tokens[0]),
            log_probs=self.processor.row_log_probs(log_probs[0]),
            adapter_version=version,
            tokens=tokens[0] if self.codec.one_token_a_value and tokens.dtype == np.int64 else None,
        )

    def stage(self, tensors: Mapping[str, np.ndarray]) -> Staged:
        """Verifies an adapter's tensors; inference goes on meanwhile. Raises AdapterError."""
        return stage(self.model, tensors)

    def swap(self, staged: Staged, version: int) -> None:
        """Serves `staged` as adapter `version` from the next prediction on.

        Raises:
            AdapterError: version 0 is the base policy, see `use_base`.
        """
        if version < 1:
            raise AdapterError(f"adapter version = {version} must be at least 1; 0 is the base policy")
        with self.lock:
            swap(self.model, staged)
            self._adapter_version = version

    def use_base(self) -> None:
        """Serves the base policy (version 0) from the next prediction on."""
        with self.lock:
            zero(self.model)
            self._adapter_version = 0

    def second_slot(self) -> VlaPolicy:
        """A policy on the same base tensors with an adapter of its own, to try one on while this one serves."""
        other = copy.copy(self)
        other.model, other.lock, other._adapter_version = second_slot(self.model), threading.RLock(), 0
        return other
