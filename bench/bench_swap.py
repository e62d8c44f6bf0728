"""Swapping adapters: the copy at the shapes of a 7B model; control ticks without an action while 20 swaps happen."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from figure import Figure
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_core.adapters.store import AdapterStore, ManifestInput
from apo_core.contract.contract import Contract, load_contract
from apo_core.policy_probe import probe_observations
from apo_core.types import ControlSource, Observation
from apo_policy_node.config import PolicyConfig
from apo_policy_node.inference.runner import Answer
from apo_policy_node.policy_server import SWITCH_INTERVAL_S, Listeners, PolicyServer
from apo_vla.lora.adapter import (
    LoraSettings,
    adapter_config,
    attach_lora,
    check_adapter_config,
    lora_parameters,
    lora_state,
    stage,
    swap,
)
from apo_vla.policy import VlaPolicy
from apo_vla.serving.policy import load_for_serving
from apo_vla.serving.settings import ServingSettings

ROOT = Path(__file__).resolve().parent.parent
COPIES, SWAPS = 31, 20
SWAP_EVERY_S = 0.5
# a training step on one core, as nice as the trainer
LOAD = "import torch; torch.set_num_threads(1); a = torch.randn(512, 512)\nwhile True: a = (a @ a).tanh()"


def shapes_of_7b() -> nn.Module:
    """Llama-2 7B with LoRA of rank 32 in bfloat16; its base weights have shapes and no memory."""
    config = LlamaConfig(hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32)
    with torch.device("meta"):
        model = LlamaModel(config)
        attach_lora(model, LoraSettings(rank=32, alpha=16.0))
    names = set(lora_parameters(model))
    for path, module in list(model.named_modules()):
        for name, value in list(module.named_parameters(path, recurse=False)):
            if name in names:
                module.weight = nn.Parameter(torch.zeros(value.shape, dtype=torch.bfloat16))
    return model


def swap_ms() -> None:
    """Milliseconds in which no inference can run, with two threads; before them everything is verified and in place."""
    torch.set_num_threads(2)
    model = shapes_of_7b()
    rng = np.random.default_rng(0)
    shapes = {name: value.shape for name, value in lora_state(model).items()}
    staged = [stage(model, {n: rng.random(s, np.float32) for n, s in shapes.items()}) for _ in range(2)]
    times = []
    for turn in range(COPIES):
        begin = time.perf_counter()
        swap(model, staged[turn % 2])
        times.append(1e3 * (time.perf_counter() - begin))
    numbers = sum(value.numel() for value in lora_parameters(model).values())
    Figure("swap_ms", statistics.median(times[1:]), "ms", 20.0, True, COPIES - 1).emit()
    print(f"{numbers / 1e6:.1f} M numbers in bfloat16, {len(shapes)} tensors; slowest {max(times[1:]):.1f} ms")


class Control:
    """The control loop's side: an observation a tick, and whether there is an action for it when it comes."""

    def __init__(self, contract: Contract, instruction: str):
        self._contract = contract
        self._probe = probe_observations(contract, instruction)[0]
        self._rng = np.random.default_rng(0)
        self._newest: Answer | None = None
        self.ticks = self.missed = 0
        self.versions: set[int] = set()
        self.inference_ms: list[float] = []

    def answer(self, answer: Answer) -> None:
        """Takes the policy's newest answer."""
        self._newest = answer
        if answer.inference_s:
            self.inference_ms.append(1e3 * answer.inference_s)

    def tick(self, now_ns: int) -> Observation:
        """Executes what there is for this moment; the observation of this tick."""
        newest = self._newest
        if newest is not None:
            self.ticks += 1
            self.missed += not self._has_row(newest, now_ns)
            if newest.chunk is not None:
                self.versions.add(newest.chunk.adapter_version)
        # no two frames alike, or the policy would not look at them
        images = {n: self._rng.integers(0, 256, i.shape, np.uint8) for n, i in self._probe.images.items()}
        return Observation(now_ns, images, self._probe.state, self._probe.instruction)

    def _has_row(self, newest: Answer, now_ns: int) -> bool:
        if newest.chunk is None:
            return False
        age_ns = now_ns - newest.chunk.observation_stamp_ns
        in_time = age_ns <= self._contract.max_age_s * 1e9
        return in_time and round(age_ns / newest.chunk.period_ns) < len(newest.chunk.values)


def publish(store: AdapterStore, policy: VlaPolicy, lora: LoraSettings, seed: int) -> int:
    """A sound adapter of small random numbers."""
    rng = np.random.default_rng(seed)
    tensors = {n: rng.normal(0, 0.01, v.shape).astype(np.float32) for n, v in lora_state(policy.model).items()}
    manifest = ManifestInput(
        parent=0,
        base_model_sha256=policy.base_sha256,
        statistics_sha256=policy.statistics_sha256,
        contract_sha256=policy.contract_sha256,
        episode_ids=(),
        config_sha256="0" * 64,
        metrics={},
        created_utc="2026-01-01T00:00:00+00:00",
        method="bench",
    )
    return store.publish(tensors, adapter_config(lora), manifest, promote=False).number


def drive(server: PolicyServer, control: Control, period_s: float, versions: list[int]) -> int:
    """Control ticks until every version was asked for and answered; how many were loaded."""
    answered = threading.Event()
    answered.set()
    loaded, due = [], time.perf_counter()
    begin, waiting = time.perf_counter(), list(versions)
    while waiting or not answered.is_set() or time.perf_counter() - begin < SWAP_EVERY_S * SWAPS:
        now_ns = time.time_ns()
        observation = control.tick(now_ns)
        server.observe(observation)
        server.executed(now_ns, ControlSource.POLICY)
        if waiting and answered.is_set() and time.perf_counter() - begin > SWAP_EVERY_S * (SWAPS - len(waiting)):
            answered.clear()

            def reply(result):
                loaded.append(not result.reason)
                answered.set()

            server.load_adapter(waiting.pop(0), reply)
        due += period_s
        time.sleep(max(0.0, due - time.perf_counter()))
    return sum(loaded)


def swap_ticks_missed() -> None:
    """Ticks at 20 Hz without an action while 20 adapters are staged and swapped, another process taking a core."""
    torch.set_num_threads(1)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    config = PolicyConfig(
        contract_file=str(ROOT / "config" / "contract.yaml"), checkpoint_dir=str(ROOT / "models" / "lift_base")
    )
    contract = load_contract(config.contract_file)
    lora = LoraSettings.of(config.lora)
    maker = VlaPolicy.load(config.checkpoint_dir, lora=lora)
    missed, notes = {}, []
    with tempfile.TemporaryDirectory() as folder:
        store = AdapterStore(folder)
        versions = [publish(store, maker, lora, seed) for seed in range(SWAPS)]
        load = subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", LOAD])
        try:
            for asked in ([], versions):
                control = Control(contract, config.instruction)
                complain = partial(print, file=sys.stderr)
                server = PolicyServer(
                    load_for_serving(config.checkpoint_dir, "cpu", lora, ServingSettings()),
                    config,
                    contract,
                    store,
                    partial(check_adapter_config, lora),
                    Listeners(control.answer, lambda result: None, complain, complain),
                    time.time_ns,
                )
                server.start()
                try:
                    loaded = drive(server, control, contract.period_ns / 1e9, asked)
                finally:
                    server.stop()
                if loaded != len(asked):
                    raise SystemExit(f"{loaded} of {len(asked)} adapters were loaded")
                missed[len(asked)] = control.missed
                inference_ms = statistics.median(control.inference_ms)
                notes.append(f"{control.ticks} ticks, {len(control.versions)} versions acted, {inference_ms:.0f} ms")
        finally:
            load.kill()
            load.wait()
    Figure("swap_ticks_missed", missed[SWAPS], "ticks", 0.0, True, SWAPS, float(missed[0])).emit()
    print(f"without swaps: {notes[0]} an inference; with {SWAPS} swaps: {notes[1]}")


if __name__ == "__main__":
    swap_ms()
    swap_ticks_missed()
