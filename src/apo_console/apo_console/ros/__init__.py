"""ROS adapters of the console: the topics and services of one robot."""
