"""A child process of low priority that takes care of finished episodes while the recorder records.

It makes video of lossless images and brings episodes to a store. It imports `apo_core` and `apo_episodes`.
In the recorder: `config` has the parameters, `supervision` decides when the child runs and what its state is, `process`
starts, reads and ends it. In the child: `worker` is its program, `look` its round over the episodes, `videos` and
`uploads` what it does to them. A `job` goes to the child, `progress` comes back, both as lines of JSON. Begin with
supervision.py.
"""
