"""A training run as a folder: its stages from episode files to the published adapter, its files and its reports.

It may import all of the package but `service` and the node. Begin with run.py; stages.py has the stages that need torch.
"""
