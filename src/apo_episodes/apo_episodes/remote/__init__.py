"""Episodes at a URL of fsspec: pushed in chunks that are named by their content, pulled whole and verified.

Begin with `store`, the records in an `apo_core.remote` store; `push` and `pull` are the two ways.
"""
