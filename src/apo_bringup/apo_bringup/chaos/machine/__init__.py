"""What faults need of the operating system: a disk of its own, machines of their own, what the kernel shows of nodes.

Knows nothing of ROS and of the stack.
"""
