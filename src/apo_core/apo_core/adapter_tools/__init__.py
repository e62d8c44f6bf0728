"""`apo adapters`: the adapter store at the command line."""
