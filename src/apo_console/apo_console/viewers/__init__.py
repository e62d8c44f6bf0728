"""Live streams for the viewers that people have: Foxglove (`foxglove_node`) and rerun (`rerun_node`). Read-only.

It imports `apo_core`, the root of `apo_episodes` and its rerun format. foxglove-sdk and rerun-sdk are optional
(requirements/view.in).
"""
