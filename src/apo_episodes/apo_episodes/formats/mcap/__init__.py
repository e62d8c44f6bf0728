"""Export to MCAP bags, which ROS 2 tools replay.

It imports the root of the package, and rosbags and OpenCV inside functions; no ROS installation is needed. Begin with
`export`; `bag_messages` makes the messages of one episode.
"""
