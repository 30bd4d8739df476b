"""The commands of ``aa-consistency``: each file adds its arguments to a parser and runs."""
