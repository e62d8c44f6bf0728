"""What at least two nodes need of rclpy: running a node, parameters, QoS, lifecycle, messages to arrays and back.

It imports the rest of the core and the message packages; pure modules never import it. An adapter that serves one node
lives in the `ros/` folder of that node's package. Begin with `node_runner.run`, the main function of every node.
"""
