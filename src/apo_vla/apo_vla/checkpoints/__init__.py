"""Checkpoint folders independent of a family: files, hashes, manifest, statistics, deployment.

Imports `model`, `actions` and `inputs`, never a family. Begin with `types` for the files of a folder, and with `family`
for what a family implements.
"""
