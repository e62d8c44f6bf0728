"""The small VLA: a model of OpenVLA's shape that trains on a CPU.

Begin with `model`; `checkpoint` writes and reads it.
"""
