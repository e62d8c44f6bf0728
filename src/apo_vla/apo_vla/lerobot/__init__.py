"""Checkpoints in LeRobot's layout: what the families that have it share.

Files: config.json, model.safetensors, policy_preprocessor.json with its statistics, tokenizer.json.
"""
