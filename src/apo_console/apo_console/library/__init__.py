"""Episodes, adapters and training runs on this machine, as the page shows and changes them. No ROS, no server."""
