"""How long the second slot waits for the policy that serves, and where in a model."""

from __future__ import annotations

import threading

import torch
from torch import nn
from transformers import LlamaConfig, LlamaModel

from apo_vla.decoding.prefix_cache import cache_prefix
from apo_vla.lora.adapter import LoraSettings
from apo_vla.serving.policy import ServingPolicy
from apo_vla.serving.yielding import YieldToServing, yield_in_layers


class Lock:
    """Held by another thread for `held_s`; waiting advances its own time."""

    def __init__(self):
        self.now_s = self.held_s = 0.0
        self.taken = 0

    def acquire(self, timeout: float) -> bool:
        waited = min(timeout, self.held_s)
        self.now_s, self.held_s = self.now_s + waited, self.held_s - waited
        self.taken += not self.held_s
        return not self.held_s

    def release(self) -> None:
        self.taken -= 1


def test_it_waits_for_the_lock_and_does_not_keep_it():
    lock = Lock()
    pause = YieldToServing(lock, 2.0, lambda: lock.now_s)
    lock.held_s = 0.5
    pause()
    assert (lock.now_s, lock.taken) == (0.5, 0)
    pause()
    assert lock.now_s == 0.5


def test_all_waits_together_are_limited_until_the_next_begin():
    lock = Lock()
    pause = YieldToServing(lock, 2.0, lambda: lock.now_s)
    lock.held_s = 100.0
    for _ in range(3):
        pause()
    assert (lock.now_s, lock.taken) == (2.0, 0)
    pause.begin()
    pause()
    assert lock.now_s == 4.0


def test_a_real_lock_of_another_thread_is_waited_for():
    lock, begun, done = threading.RLock(), threading.Event(), threading.Event()

    def wait():
        begun.set()
        YieldToServing(lock, 30.0)()
        done.set()

    thread = threading.Thread(target=wait, daemon=True)
    with lock:
        thread.start()
        assert begun.wait(30.0)
        assert not done.is_set()
    assert done.wait(30.0)
    assert lock.acquire(timeout=30.0)


def test_every_layer_of_a_model_yields():
    calls = []
    model = nn.ModuleDict({"tower": nn.ModuleList([nn.Identity(), nn.Identity()]), "head": nn.Identity()})
    yield_in_layers(model, lambda *_: calls.append(1))
    for module in (*model["tower"], model["head"]):
        module(torch.zeros(1))
    assert len(calls) == 2


def test_a_decoder_layer_whose_parts_are_called_one_by_one_yields():
    calls = []
    model = LlamaModel(LlamaConfig(vocab_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2)).eval()
    yield_in_layers(model, lambda *_: calls.append(1))
    with torch.no_grad():
        cache_prefix(model, torch.zeros(1, 2, 16))
        assert len(calls) == 3
        model(inputs_embeds=torch.zeros(1, 2, 16))
    assert len(calls) == 6


def test_the_second_slot_computes_while_the_policy_does_not(tiny_policy, observation):
    policy = tiny_policy(LoraSettings(rank=2, alpha=4.0))
    serving = ServingPolicy(policy)
    second, done = serving.second_slot(), threading.Event()

    def predict():
        second.predict(observation())
        done.set()

    thread = threading.Thread(target=predict, daemon=True)
    with policy.lock:
        thread.start()
        # its patience is two seconds; a free processor needs some milliseconds
        assert not done.wait(0.5)
    assert done.wait(30.0)
