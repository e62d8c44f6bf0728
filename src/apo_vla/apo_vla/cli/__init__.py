"""`apo policy`: inspects a checkpoint, and binds a published one to a robot.

Imports every other part; asks the family of the checkpoint instead of listing families. Begin with `cli`.
"""
