"""A command line that says a mistake as everything else here does."""

import argparse

from efficiency.errors import UserError


class Parser(argparse.ArgumentParser):
    """Of a command whose help is its module's docstring as it stands; no option can be shortened.

    Raises:
        UserError: for a mistake in the command line, where argparse would end the process.
    """

    def __init__(self, command: str, description: str):
        super().__init__(
            prog=f'python -m {command}', description=description, allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip

    def error(self, message):
        raise UserError(f'{message}; --help lists the options')
