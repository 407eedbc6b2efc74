"""The command line: one file for each group of commands, and the boundary where errors become exit codes."""

from kilo_review.cli.app import cli, main

__all__ = ["cli", "main"]
