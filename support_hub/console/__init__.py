"""The pages that the support hub adds to the console."""
