"""When a policy needs its operator: features of trouble, and a score learned from takeovers.

Imports the core's types and contract; no torch, no ROS. Begin with `features`, which serving and recordings share;
`score` weighs them. `adapters.calibration` binds a score to one adapter, `apo_trainer.help` learns it,
`apo_policy_node.inference.help` uses it.
"""
