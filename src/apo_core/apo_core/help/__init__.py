"""When a policy needs its operator: features of trouble, a score learned from takeovers, and its calibration file.

Imports the core's types, contract, adapter files and `system`; no torch, no ROS. Begin with `features`, which serving
and recordings share; `score` weighs them; `document` is the file that binds a score to one adapter. `apo_trainer.help`
learns it, `apo_policy_node.inference.help` uses it.
"""
