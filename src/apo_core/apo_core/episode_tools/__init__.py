"""Tools for episode files: list, check, select, cut, join, look at, measure, export, import. `apo episodes --help`."""
