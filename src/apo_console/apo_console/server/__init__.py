"""Brings the views to browsers, and what browsers send to the robot. No ROS."""
