"""The paper's experiments as one command: what is run, in which order, and the report."""
