"""Changes: nothing is changed without the right yes."""
