"""Looking at episodes: tables, descriptions, faults, statistics and pictures.

It imports the root of the package; OpenCV inside functions. Begin with `table`, which lists and describes episodes;
`validate` reports the faults of files, `statistics` sums data sets up, `view` draws an episode.
"""
