"""What every other package shares: types, the contract, parameters, the adapter store, ROS adapters.

It imports no other package of apo, neither torch nor h5py, and rclpy in `ros/` only. Begin with `types`, which names
what flows between the nodes, then `contract.contract`, which describes a robot's cameras, state, action and limits.
`actions` gives the layout of an action, `errors` the exceptions that callers catch.
"""
