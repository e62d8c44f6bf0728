"""ROS adapters of the nodes of this package: messages to values and back, subscriptions, publishers.

It imports apo_core and the sub-packages beside it, and is imported by the node modules alone. Begin with
`arbiter_inputs` (messages to the control loop), `arbiter_messages` (decisions to messages), `robot_output` (commands
to the robot) and `operator_node` (the base of the nodes that publish an operator's samples).
"""
