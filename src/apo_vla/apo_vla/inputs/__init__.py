"""Inputs of a model: camera images, prompts, tokenizers, and the parts of the contract's state.

Training and serving share these functions. Imports apo_core alone; no torch. Begin with `image_processing`.
"""
