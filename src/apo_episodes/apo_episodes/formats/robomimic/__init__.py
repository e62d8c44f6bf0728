"""Export to and import from robomimic's HDF5 files.

It imports the root of the package, `hdf5` and `curate`. Begin with `export` and `importer`; `mapping` relates names of
the contract to those of robomimic, `unit_actions` scales actions to -1..1.
"""
