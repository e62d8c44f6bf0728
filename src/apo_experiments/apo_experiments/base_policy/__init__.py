"""The policy that the first round deploys: demonstrations, pictures of scenes, behaviour cloning of a small VLA.

It may import `rollouts`. Begin with base_policy.py.
"""
