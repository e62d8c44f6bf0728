"""SmolVLA (arXiv 2506.01844) from checkpoints in LeRobot's layout.

Begin with `checkpoint`.
"""
