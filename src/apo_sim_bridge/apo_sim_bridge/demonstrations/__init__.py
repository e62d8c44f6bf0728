"""Demonstrations of the scripted expert: steps with noise, episode files, and pictures of random scenes.

Imports `sim/`, apo_core and apo_episodes; no ROS and no torch. Begin with `collect.py`, which makes the steps of one
episode; `files.py` makes a folder of episodes, `scene_views.py` the pictures that vision is trained on.
"""
