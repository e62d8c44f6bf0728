"""Making data sets out of episodes: which ones, which steps of them, under which labels.

It imports the root of the package and `inspection`. Begin with `selection`, which filters episodes by their facts;
`datasets` copies, splits and merges folders of files, `cut` copies steps into a new episode, `relabel` writes labels
to a file.
"""
