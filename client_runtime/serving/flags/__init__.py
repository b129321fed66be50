"""The command line: what the flags are, how they are read, and what the program says of them."""
