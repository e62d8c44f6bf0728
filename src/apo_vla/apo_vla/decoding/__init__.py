"""Forward passes through a language model's own layers: greedy decoding, and teacher forcing for training.

Imports `actions` and `lora`. Begin with `static`, which decodes in fixed memory for serving; `greedy` is the reference
on transformers' cache, `cuda_graphs` records either.
"""
