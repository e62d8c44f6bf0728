"""From an executed twist to what one kind of arm controller takes: a twist, a pose, or joint motion.

Needs no ROS, and time is passed in. It imports apo_core alone, and MuJoCo once a joint output is made. Begin with
`base.ArmOutput`, the interface of every output, and `factory.make_output`; a new kind of controller is a module beside
`pose` and a line in `factory`.
"""
