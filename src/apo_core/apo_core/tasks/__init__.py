"""Tasks: the table of their facts, and the scripted expert that solves them from ground-truth poses. Pure numpy.

Imports only modules of apo_core, never a simulator. Begin with `specs.py`: a new task is a row there, and a simulation
model that the row names. `grasp_task.py` describes a grasp and a placement, `expert.py` carries them out.
"""
