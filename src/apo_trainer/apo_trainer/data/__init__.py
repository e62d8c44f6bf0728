"""Training data: episode files become labelled samples, samples become batches of tensors.

It may import the configuration and no other part of the package. Begin with samples.py, then dataset.py (which
episodes and which split), sampler.py (which samples make a batch) and batches.py (what the model reads of them).
"""
