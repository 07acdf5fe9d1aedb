"""What the suite costs and how well it finds: `python -m tests.benchmarks [NAME...] [--quick]`."""
