"""Trains LoRA adapters of a VLA policy from recorded episodes, evaluates them on held-out ones and publishes them.

`train` is the program (`./apo train`), `trainer_node` starts it from ROS; `config` has the parameters of both, and
`states` the states of run and node. The sub-packages import downwards only: `losses` and `data`; `methods` and
`evaluation` on them; `optimisation` on those; `runs` on all of these; `service`, for the node, on `data` alone. The
package may import apo_core, apo_episodes and apo_vla, and rclpy in `trainer_node` alone. Begin with runs/run.py, which
has the stages of a run in order.
"""
