"""The operating system: files that a crash leaves whole, processes that end together, terminals, command lines.

It imports `errors` and the standard library. Begin with `atomic_files`, which replaces and publishes files and folders
for the whole workspace; only the adapter store, which withdraws folders, and the HDF5 driver of episode files rename
and sync by themselves.
"""
