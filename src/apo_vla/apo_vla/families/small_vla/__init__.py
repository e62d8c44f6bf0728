"""The small policies, which train on a CPU: a model of OpenVLA's shape with bins, and one of pi0's with a flow.

Begin with `model` and `flow`; `checkpoint` writes and reads both.
"""
