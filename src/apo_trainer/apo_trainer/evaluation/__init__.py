"""Scores of batches under a policy and its reference, means over held-out samples, and the gate that decides on them.

It may import the configuration, `data` and `losses`; the optimisation uses its forward pass and reference. Begin with
forward.py, then held_out.py and gate.py.
"""
