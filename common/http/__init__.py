"""Calls to other systems' HTTP APIs that stay right while those systems do not."""
