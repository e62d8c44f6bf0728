"""The training loop of one adapter: steps, their gradient over micro-batches and processes, and the weights kept.

It may import the configuration, `data`, `losses`, `methods` and `evaluation`, and does no file access but for the
checkpoint of an interrupted run. Begin with trainer.py, then update.py.
"""
