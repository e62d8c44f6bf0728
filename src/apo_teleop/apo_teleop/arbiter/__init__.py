"""Who moves the robot in a tick, and why: policy, operator or nobody. Pure; both clocks are passed in.

It imports apo_core, `motion` and `outputs.config`. Begin with `transitions` (the state table), then
`arbiter.Arbiter.step` (one tick: inputs to a decision), then `control_loop` (when a tick is due, in real time and in
lockstep). `watchdogs`, `operator_authority`, `tracking_monitor` and `latch` find the reasons that hold.
"""
