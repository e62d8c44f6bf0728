"""Fixtures of small trainings."""

import small_training

contract, write_episode, interactions = (
    small_training.contract,
    small_training.write_episode,
    small_training.interactions,
)
tiny_model, checkpoint = small_training.tiny_model, small_training.checkpoint
