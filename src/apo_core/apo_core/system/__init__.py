"""The operating system: files that a crash leaves whole, processes that end together, terminals, command lines.

It imports `errors` and the standard library. Begin with `atomic_files`, the only place that replaces, renames and
syncs files for the whole workspace.
"""
