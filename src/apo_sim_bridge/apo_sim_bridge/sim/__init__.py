"""The simulator without ROS: reset and step in SI units, offscreen rendering, texture swaps.

Imports apo_core, and robosuite and mujoco inside functions, since the GL library must be chosen before they load.
Begin with `env.py`; `ground_truth.py` gives what the expert sees of a frame.
"""
