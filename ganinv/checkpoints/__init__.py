"""The door for weight, direction and inversion files. It reads data and never runs code from a file."""
