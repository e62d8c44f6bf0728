"""A policy as it serves: in a chosen precision, encodes repeated frames once, decodes in fixed memory."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from apo_core.action_tokens import known_tokens
from apo_core.contract.action_range import DataRange
from apo_core.served_policy import PolicyCapabilities
from apo_core.types import ActionChunk, Observation
from apo_vla.decoding.cuda_graphs import Function, GraphCache
from apo_vla.decoding.static import Decoded
from apo_vla.devices import check_device
from apo_vla.lora.adapter import LoraSettings, Staged, reaches_features
from apo_vla.model import DecodingModel, SeparateCameras, decoding_model, guided_model, separate_cameras
from apo_vla.policy import Prepared, VlaPolicy
from apo_vla.serving.feature_cache import FeatureCache
from apo_vla.serving.preparation import set_up
from apo_vla.serving.quantization import dtype_of
from apo_vla.serving.settings import ServingSettings
from apo_vla.serving.yielding import YieldToServing, yield_in_layers

_PATIENCE_S = 2.0  # for which one prediction of the second slot waits at most


class ServingPolicy:
    """Serves a policy; safe to use from several threads, like the policy itself.

    A `DecodingModel` is served with everything above. Any other model is served in the way that it brings, whole chunks
    only.

    Args:
        policy: loaded, on its device; its model is changed to the precision and must not be used for training.
        settings: how it is to compute; None: the defaults.
        source: file to edit, for messages.
        graphs: where recordings are kept; None makes one when the settings have `cuda_graphs`.

    Raises:
        ConfigError: the device or the model cannot do what the settings require.
    """

    def __init__(
        self,
        policy: VlaPolicy,
        settings: ServingSettings | None = None,
        source: str = "config/policy.yaml",
        graphs: GraphCache | None = None,
    ):
        settings = settings or ServingSettings()
        set_up(policy, settings, source)
        self._policy = policy
        self._adapted = reaches_features(policy.model)
        self._cache = FeatureCache()
        self._graphs = GraphCache() if settings.cuda_graphs and graphs is None else graphs
        self._pause: YieldToServing | None = None  # the second slot's

    @property
    def base_sha256(self) -> str:
        """Hash of the base model's weights file."""
        return self._policy.base_sha256

    @property
    def data_range(self) -> DataRange | None:
        """See `VlaPolicy`."""
        return self._policy.data_range

    @property
    def statistics_sha256(self) -> str:
        """Hash of the statistics file."""
        return self._policy.statistics_sha256

    @property
    def contract_sha256(self) -> str:
        """Contract of the data the policy was trained on."""
        return self._policy.contract_sha256

    @property
    def chunk(self) -> int:
        """Rows of an action chunk."""
        return self._policy.chunk

    @property
    def adapter_version(self) -> int:
        """Adapter that serves; 0 is the base policy."""
        return self._policy.adapter_version

    @property
    def capabilities(self) -> PolicyCapabilities:
        """A model that decodes token by token continues given rows, and has entropies; a flow is guided to them."""
        decodes = decoding_model(self._policy.model) is not None
        guided = guided_model(self._policy.model) is not None
        return PolicyCapabilities(committed_rows=decodes or guided, entropies=decodes)

    def predict(
        self, observation: Observation, committed: np.ndarray | None = None, rows: int | None = None
    ) -> ActionChunk:
        """The chunk for one observation, with the version of the adapter that made it.

        Args:
            observation: of the contract.
            committed: float32 (n, A), contract units: rows that are decided already; the chunk begins with them, or
                with their bins.
            rows: length of the chunk, above n; None: what the model predicts.

        Raises:
            ObservationError: see `VlaPolicy.prepare`.
            ValueError: the model cannot be given actions to begin with, or as many as the chunk has rows.
        """
        if self._pause is not None:
            self._pause.begin()
        policy = self._policy
        model = decoding_model(policy.model)
        if model is None:
            return self._whole(observation, committed, rows)
        rows = rows or self.chunk
        if committed is not None and len(committed) >= rows:
            raise ValueError(f"{len(committed)} committed rows must be fewer than the {rows} of the chunk")
        batch = policy.prepare([observation.images], [observation.state], observation.instruction)
        tokens: tuple[torch.Tensor, ...] = ()
        if committed is not None and len(committed):
            tokens = (torch.from_numpy(policy.codec.encode(committed).reshape(1, -1)).to(policy.device),)
        beside = self._beside() if self._pause is not None else contextlib.nullcontext()
        with policy.lock, torch.inference_mode(), beside:
            version = policy.adapter_version
            decoded = self._decode(model, self._features(observation, batch), batch.prompt_ids, rows, tokens)
        bins, log_probs, entropies = (value[0].cpu().numpy() for value in decoded)
        return ActionChunk(
            observation_stamp_ns=observation.stamp_ns,
            period_ns=policy.config.period_ns,
            values=policy.processor.actions(bins),
            log_probs=policy.processor.row_log_probs(log_probs),
            adapter_version=version,
            tokens=bins,
            entropies=policy.processor.row_log_probs(entropies),
        )

    def stage(self, tensors: Mapping[str, np.ndarray]) -> Staged:
        """Verifies an adapter's tensors; inference goes on meanwhile. Raises AdapterError."""
        with self._beside():
            return self._policy.stage(tensors)

    def swap(self, staged: Staged, version: int) -> None:
        """Serves `staged` as adapter `version` from the next prediction on. Raises AdapterError."""
        with self._policy.lock:
            self._policy.swap(staged, version)
            self._rebind()

    def use_base(self) -> None:
        """Serves the base policy (version 0) from the next prediction on."""
        with self._policy.lock:
            self._policy.use_base()
            self._rebind()

    def second_slot(self) -> ServingPolicy:
        """This policy with an adapter slot of its own, for trying one while this one serves; see `lora.second_slot`.

        It shares the base model, and neither graphs nor compiled code. It computes while this one does not, as long as
        that leaves it time enough.
        """
        other = copy.copy(self)
        other._policy, other._cache, other._graphs = self._policy.second_slot(), FeatureCache(), None
        other._pause = YieldToServing(self._policy.lock, _PATIENCE_S)
        yield_in_layers(other._policy.model, other._pause)
        model = decoding_model(other._policy.model)
        if model is not None:
            model.decoder.before_layer = other._pause
        return other

    @contextlib.contextmanager
    def _beside(self) -> Iterator[None]:
        """Work for the GPU in here does not queue up with that of the policy that serves."""
        if self._policy.device.type != "cuda":
            yield
            return
        stream = torch.cuda.Stream(self._policy.device)
        stream.wait_stream(torch.cuda.current_stream(self._policy.device))
        with torch.cuda.stream(stream):
            yield
        stream.synchronize()

    def _rebind(self) -> None:
        if self._adapted:
            self._cache.clear()
        model = decoding_model(self._policy.model)
        if model is not None:
            with torch.no_grad():
                model.decoder.refresh()

    def _features(self, observation: Observation, batch: Prepared) -> torch.Tensor:
        """Features (1, N, d); what is the same as in the call before is not encoded again."""
        whole_model, cache = self._policy.model, self._cache
        images = [observation.images[name] for name in self._policy.config.cameras]
        model = separate_cameras(whole_model)
        if model is None:
            inputs = [*images, batch.state.cpu().numpy()]

            def features(images: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor]:
                return (whole_model.features(images, state),)

            return cache.get("all", inputs, lambda: self._run("features", features, batch.images, batch.state)[0])
        tokens = []
        for index, image in enumerate(images):
            encode = partial(self._encode, model, index, batch.images[:, index])
            tokens.append(cache.get(index, [image], encode))
        return model.join_features(tokens, batch.state)

    def _encode(self, model: SeparateCameras, camera: int, images: torch.Tensor) -> torch.Tensor:
        def encode(images: torch.Tensor) -> tuple[torch.Tensor]:
            return (model.camera_tokens(camera, images),)

        return self._run(f"camera {camera}", encode, images)[0]

    def _decode(
        self,
        model: DecodingModel,
        features: torch.Tensor,
        prompt_ids: torch.Tensor,
        rows: int,
        committed: tuple[torch.Tensor, ...],
    ) -> Decoded:
        steps = rows * self._policy.codec.size

        def decode(prefix: torch.Tensor, *committed: torch.Tensor) -> Decoded:
            return model.decoder.generate(prefix, model.embedding_rows(), model.head_rows(), steps, *committed)

        prefix = model.prefix_of_one(features, prompt_ids)
        return Decoded(*self._run(f"decode {rows}", decode, prefix, *committed))

    def _run(self, name: str, function: Function, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(function(*inputs)) if self._graphs is None else self._graphs(name, function, *inputs)

    def _whole(self, observation: Observation, committed: np.ndarray | None, rows: int | None) -> ActionChunk:
        if committed is not None and rows is not None and len(committed) >= rows:
            raise ValueError(f"{len(committed)} committed rows must be fewer than the {rows} of the chunk")
        chunk = self._policy.predict(observation, committed)
        if rows is None or rows >= len(chunk.values):
            return chunk
        values, log_probs = chunk.values[:rows], chunk.log_probs[:rows]
        tokens = known_tokens(chunk.tokens, chunk.values.shape)
        kept = None if tokens is None else tokens[:rows].reshape(-1)
        return dataclasses.replace(chunk, values=values, log_probs=log_probs, tokens=kept)


def load_for_serving(
    folder: Path | str, device: str, lora: LoraSettings, settings: ServingSettings, source: str = "config/policy.yaml"
) -> ServingPolicy:
    """Reads a checkpoint folder and makes it ready to serve.

    Args:
        folder: see `load_checkpoint`.
        device: torch device.
        lora: shape of the adapters.
        settings: how it computes.
        source: file to edit, for messages.

    Raises:
        CheckpointError: see `load_checkpoint`.
        ConfigError: the device is not there, or cannot do what the settings require.
    """
    check_device(device, source)
    return ServingPolicy(VlaPolicy.load(folder, device, lora, dtype_of(settings.precision)), settings, source)
