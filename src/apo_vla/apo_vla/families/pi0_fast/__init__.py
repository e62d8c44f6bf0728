"""pi0-FAST (arXiv 2501.09747) from checkpoints in LeRobot's layout.

It serves and does not train. Begin with `checkpoint`.
"""
