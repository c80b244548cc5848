"""`python -m app`, and the console script.

Light until `main` is called: each of several web processes imports this first, before it answers its parent.
"""


def main() -> None:
    """The `pairboard` command."""
    from ml.contract.collector import collector_rests

    with collector_rests():
        from app import cli

    cli.main()


if __name__ == "__main__":
    main()
