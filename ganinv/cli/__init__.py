"""The command line: thin commands that parse, call the public functions and write files."""
