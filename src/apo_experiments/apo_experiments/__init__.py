"""Experiments in simulation: the base policy, comparisons of training methods, and success rates of policies.

Each is a program without ROS: `./apo base-policy` (base_policy/), `./apo compare` (compare/) and `./apo evaluate`
(evaluate.py), `./apo collect` (loop/), `./apo reproduce` (reproduce/) and `./apo staged-study` (staged/). The simulator
is imported inside functions, since it takes seconds. Begin with rollouts.py, which measures a policy.
"""
