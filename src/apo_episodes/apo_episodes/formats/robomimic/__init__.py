"""Export to and import from robomimic's HDF5 files.

It imports the root of the package, `hdf5`, `curate` and `formats.unit_actions`; OpenCV inside functions. Begin with
`export` and `importer`; `mapping` relates names of the contract to those of robomimic.
"""
