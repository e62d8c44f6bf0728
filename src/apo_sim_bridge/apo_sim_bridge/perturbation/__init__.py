"""Perturbations of the simulation: its scene, light, cameras, objects, and the streams from and to the robot.

Imports apo_core; what changes the model gets it from `sim/`. Begin with `settings.py`, the parameters. `appearance.py`
and `distractors.py` change the model's XML before it is built, `model.py` applies what `draws.py` draws at each reset,
`streams.py` delays and loses frames and commands.
"""
