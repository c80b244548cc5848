"""`python -m app`: the same as the `pairboard` command."""

from app.cli import main

main()
