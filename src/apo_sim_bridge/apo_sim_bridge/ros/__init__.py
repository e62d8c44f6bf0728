"""ROS messages of the simulated robot: its frames and the state of the trial.

Imports rclpy and message types, apo_core, and the simulation bridge's pure modules. Begin with `frame_publisher.py`.
"""
