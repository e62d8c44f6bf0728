"""`apo chaos`: the stack in simulation under a seeded schedule of faults, with invariants checked from outside.

Imports apo_core, apo_episodes, the table of nodes, and ROS in witness, injector and `sources`. Begin with `runner.py`;
`schedule.py`, `invariants.py` and `report.py` are pure.
"""
