"""What starts the nodes: one table of nodes for launch files and runner, the demo session, the command line."""
