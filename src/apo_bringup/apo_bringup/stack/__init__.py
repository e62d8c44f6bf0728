"""The running nodes: their table, the options they are started with, launch descriptions, and supervised processes.

Imports apo_core, `launch_ros` in `launching.py` and supervisor in `supervision.py`. Begin with `nodes.py`; `options.py`
has what `apo up` and the launch files share.
"""
