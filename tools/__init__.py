"""Commands around the trainer: `python -m tools.<name> --help`."""
