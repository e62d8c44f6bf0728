"""The simulated robot: robosuite behind the topics of a real one, and demonstrations made with it.

`sim/` runs the simulator, `models/` has the tasks that robosuite lacks, `demonstrations/` records the scripted expert,
`ros/` publishes frames. Of this repository the package imports apo_core and apo_episodes; robosuite and mujoco are
imported in `sim/` and `models/` alone, ROS in `ros/` and `sim_bridge_node.py` alone. Begin with `sim/env.py`, then
`trial.py` and `sim_bridge_node.py`. Tasks are rows of `apo_core.tasks.specs`.
"""
