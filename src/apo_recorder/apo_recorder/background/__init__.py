"""A child process of low priority that brings finished episodes to a store while the recorder records.

It imports `apo_core` and `apo_episodes`. In the recorder: `config` has the parameters, `supervision` decides when the
child runs and what its state is, `process` starts, reads and ends it. In the child: `worker` is its program, `uploads`
its work. A `job` goes to the child, `progress` comes back, both as lines of JSON. Begin with supervision.py.
"""
