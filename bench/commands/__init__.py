"""The commands: one module a group. Each turns its arguments into one call and prints the result."""
