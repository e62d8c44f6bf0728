"""Adapters at a URL of fsspec: versions, and for each ring of robots a pointer to the one that it serves.

Begin with `store`; `push` and `pull` are the two ways, `rings` moves the pointers.
"""
