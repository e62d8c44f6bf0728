"""The operator's side of the loop: devices, and the arbiter that decides each tick who moves the robot.

It imports apo_core alone, and no torch; rclpy only in `ros/` and the three node modules. `arbiter` builds on `motion`
and `outputs`; none of `motion`, `outputs` and `devices` imports `arbiter`. Begin with `arbiter.transitions`, the
table of all decisions, then `arbiter.arbiter`, which applies it; `arbiter_node` and `teleop_node` show how messages
get there.
"""
