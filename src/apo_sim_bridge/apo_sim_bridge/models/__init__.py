"""Simulation models of the tasks that robosuite lacks, from boxes and cylinders, as robosuite environments.

Imports robosuite, nothing of this repository. `shapes.py` builds objects, `table_env.py` is the base of the
environments; a row of `apo_core.tasks.specs` names the class of its task. No class has the name of one in the package
mimicgen, since robosuite registers environments by their names.
"""
