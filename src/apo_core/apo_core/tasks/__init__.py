"""Tasks: the table of their facts, and the scripted expert that solves them from ground-truth poses. Pure numpy.

Imports only modules of apo_core, never a simulator. Begin with `specs.py`: a new task is a row there, and a simulation
model that the row names. `subtasks.py` describes the parts of a task, `expert.py` carries them out, and `course.py`
reports how far a task has come.
"""
