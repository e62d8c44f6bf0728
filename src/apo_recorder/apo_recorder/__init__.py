"""The recorder node: pairs executed commands with observations and writes an episode file for each trial.

It imports `apo_core` and `apo_episodes`; no torch, and rclpy in `recorder_node` and `ros/` only. Begin with
`recording.Recording`, the recorder without ROS: `alignment` pairs commands and observations, `episode_state` decides
which steps belong to an episode, `writer_thread` keeps the disk off the control path.
"""
