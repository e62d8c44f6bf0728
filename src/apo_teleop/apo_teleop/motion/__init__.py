"""From a wanted action to an executed one within every limit of the contract. Pure; times are passed in.

It imports apo_core alone. Begin with `shaping.MotionShaper`, which applies the others in order: `limits` (range, speed,
workspace), `blending` (from one source to the next), `position_estimate` (where the tip may be between two poses).
"""
