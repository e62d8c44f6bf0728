"""Parameters as dataclasses with descriptions, ranges and choices, and YAML as rcl reads it. No ROS.

It imports `errors` only. Begin with `parameters.parameter`, which declares a field, and `parameters.build`, which
checks values and reports every fault at once. `ros.parameters` turns the same fields into descriptors of ROS
parameters.
"""
