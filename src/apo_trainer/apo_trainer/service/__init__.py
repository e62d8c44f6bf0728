"""What the trainer node is made of, without ROS and torch: new episodes, schedule, training process, status.

It may import the configuration and `data`; a training runs in a process of its own. Begin with training_process.py.
"""
