"""A checkpoint that acts: observations in, action chunks out; the same preparation serves training."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer

from apo_core.errors import AdapterError, ObservationError
from apo_core.types import ActionChunk, Observation
from apo_core.vla.action_codec import ActionCodec
from apo_core.vla.checkpoint import STATISTICS, WEIGHTS, load_checkpoint
from apo_core.vla.image_processing import process_images
from apo_core.vla.lora import LoraSettings, Staged, attach_lora, stage, swap, zero
from apo_core.vla.prompt import encode_prompts
from apo_core.vla.small_vla import SmallVla
from apo_core.vla.statistics import DatasetStatistics


class Prepared(NamedTuple):
    """A batch as the model takes it, on its device."""

    images: torch.Tensor  # float32 (B, cameras, 3, S, S)
    state: torch.Tensor  # float32 (B, n), standard deviations
    prompt_ids: torch.Tensor  # int64 (B, P)


class VlaPolicy:
    """A model with its tokenizer, statistics and adapter. Safe to use from several threads: `lock` guards the model.

    Args:
        model: moved to `device`.
        tokenizer: of the prompts.
        statistics: of the training data.
        base_sha256: hash of the weights file, "" for a model that was never saved.
        statistics_sha256: hash of the statistics file.
        lora: adapter to attach with B = 0, None for none.
        device: torch device.
    """

    def __init__(
        self,
        model: SmallVla,
        tokenizer: Tokenizer,
        statistics: DatasetStatistics,
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
        self.base_sha256 = base_sha256
        self.statistics_sha256 = statistics_sha256
        self.lora = lora
        self.device = torch.device(device)
        self.lock = threading.RLock()
        self._adapter_version = 0
        self._prompts: dict[str, np.ndarray] = {}

    @classmethod
    def load(cls, folder: Path | str, device: str = "cpu", lora: LoraSettings | None = LoraSettings()) -> VlaPolicy:  # noqa: B008
        """Reads a checkpoint folder.

        Raises:
            CheckpointError: see `load_checkpoint`.
        """
        checkpoint = load_checkpoint(Path(folder))
        sha256 = checkpoint.manifest["sha256"]
        return cls(
            checkpoint.model,
            checkpoint.tokenizer,
            checkpoint.statistics,
            sha256[WEIGHTS],
            sha256[STATISTICS],
            lora,
            device,
        )

    @property
    def contract_sha256(self) -> str:
        """Contract of the data the policy was trained on."""
        return self.statistics.contract_sha256

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
        cameras, size = self.config.cameras, self.config.image_size
        for views in images:
            missing = [name for name in cameras if name not in views]
            if missing:
                raise ObservationError(f"images {missing} are missing; the policy was trained with {list(cameras)}")
        pixels = process_images([views[name] for views in images for name in cameras], size, rng)
        state = np.stack([self.statistics.normalise_state(part) for part in states])
        prompts = np.stack([self._prompt(text) for text in texts])
        return Prepared(
            torch.from_numpy(pixels.reshape(len(images), len(cameras), 3, size, size)).to(self.device),
            torch.from_numpy(state).to(self.device),
            torch.from_numpy(prompts).to(self.device),
        )

    def features(self, batch: Prepared) -> torch.Tensor:
        """The model's features of a batch without gradient, float32 (B, N, d); the adapter has no part in them."""
        with self.lock, torch.no_grad():
            return self.model.features(batch.images, batch.state)

    def predict_tokens(self, batch: Prepared) -> tuple[np.ndarray, np.ndarray]:
        """Greedy chunks of a batch: bins int64 (B, chunk, A) and log-probabilities float32 (B, chunk, A), nats."""
        with self.lock, torch.inference_mode():
            features = self.model.features(batch.images, batch.state)
            tokens, log_probs = self.model.generate(features, batch.prompt_ids)
        shape = (-1, self.config.chunk, self.config.action_size)
        return tokens.cpu().numpy().reshape(shape), log_probs.cpu().numpy().reshape(shape)

    def predict(self, observation: Observation) -> ActionChunk:
        """The chunk for one observation, with the version of the adapter that made it.

        Raises:
            ObservationError: see `prepare`.
        """
        batch = self.prepare([observation.images], [observation.state], observation.instruction)
        with self.lock:
            version = self._adapter_version
            tokens, log_probs = self.predict_tokens(batch)
        return ActionChunk(
            observation_stamp_ns=observation.stamp_ns,
            period_ns=self.config.period_ns,
            values=self.codec.decode(tokens[0]),
            log_probs=log_probs[0].sum(axis=-1),
            adapter_version=version,
        )

    def stage(self, tensors: Mapping[str, np.ndarray]) -> Staged:
        """Verifies an adapter's tensors; inference goes on meanwhile. Raises AdapterError."""
        return stage(self.model, tensors)

    def swap(self, staged: Staged, version: int) -> Staged:
        """Serves `staged` as adapter `version` from the next prediction on; returns what served before.

        Raises:
            AdapterError: version 0 is the base policy, see `use_base`.
        """
        if version < 1:
            raise AdapterError(f"adapter version = {version} must be at least 1; 0 is the base policy")
        with self.lock:
            before = swap(self.model, staged)
            self._adapter_version = version
        return before

    def use_base(self) -> Staged:
        """Serves the base policy (version 0) from the next prediction on; returns what served before."""
        with self.lock:
            before = zero(self.model)
            self._adapter_version = 0
        return before

    def _prompt(self, text: str) -> np.ndarray:
        if text not in self._prompts:
            if len(self._prompts) >= 1024:  # instructions are typed by people; keep memory bounded
                self._prompts.clear()
            self._prompts[text] = encode_prompts(self.tokenizer, [text], self.config.prompt_length)[0]
        return self._prompts[text]
