"""The operator's console in the browser.

`view/` turns what topics carry into what people see, and `lease.py` decides who drives; both are pure. `server/` brings
them to browsers, `console_node.py` connects them to ROS. Begin with `view/live.py`.
"""
