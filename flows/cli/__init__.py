"""The `labeling` command; `app.py` is where it begins."""


def main() -> None:
    """Run the command line."""
    from flows.cli.app import main as run

    run()
