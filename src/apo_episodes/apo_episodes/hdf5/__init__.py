"""The HDF5 file of an episode: schema, images, checksums, and checks that make a damaged or hostile file harmless.

It imports `apo_core`, h5py, hdf5plugin and zstandard, OpenCV, Pillow and PyAV inside functions, and no other part of
the package. Begin with `schema`, the datasets of a file (docs/reference/episode_format.md). `writer` appends steps,
`checked_file` returns checked parts, `disk_file` keeps HDF5 alive on a full disk. `video_file` makes a file whose
images are video of one whose images are lossless, `video_frames` reads it.
"""
