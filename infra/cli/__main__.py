"""`python -m infra.cli` is `triptych`."""

from infra.cli.main import main

main()
