"""The small policy with a flow head: encoders of the small VLA, an action expert, flow matching.

It imports `families.small_vla`. Begin with model.py.
"""
