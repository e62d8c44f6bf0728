"""Experiments in simulation: the base policy, comparisons of training methods, and success rates of policies.

Each is a program without ROS: `./apo base-policy` (base_policy/), `./apo compare` (compare/) and `./apo evaluate`
(evaluate.py). The package may import apo_core, apo_episodes, apo_vla, apo_trainer and apo_sim_bridge, whose simulator
is imported inside functions, since it takes seconds. Begin with rollouts.py, which measures a policy.
"""
