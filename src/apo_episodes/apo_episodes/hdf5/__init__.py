"""The HDF5 file of an episode: schema, images, checksums, and checks that make a damaged or hostile file harmless.

It imports `apo_core`, h5py, hdf5plugin and zstandard, OpenCV and Pillow inside functions, and no other part of the
package. Begin with `schema`, the datasets of a file (docs/reference/episode_format.md). `writer` appends steps,
`checked_file` returns checked parts, `disk_file` keeps HDF5 alive on a full disk.
"""
