"""A store at a URL of fsspec: content in chunks that are named by it, and documents that are written after them.

Begin with `chunk_store`. `apo_episodes.remote` keeps episodes in one, `adapters.remote` adapters.
"""
