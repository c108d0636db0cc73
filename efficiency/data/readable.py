"""Whether what a data set is made of may be read, found out before any of it is."""

import contextlib
import os
from collections.abc import Iterator

from efficiency.errors import UserError

# In place of the version of a data set: texts that --data_dir has as files.
OF_FILES = 'files'


@contextlib.contextmanager
def sentences(path: str = 'a file of it') -> Iterator[None]:
    """Turns what the system says of a file into a sentence.

    Args:
        path: what is read, where the system does not say.

    Raises:
        UserError: for an OSError, and for folders in folders without end.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f'cannot read {error.filename or path}: {error.strerror}; nothing of a data set is left out, so make it '
            'readable'
        ) from error
    except RecursionError as error:
        raise UserError('the folders of the data set are nested too deep to be looked through') from error


def check_file(path: str) -> None:
    """Checks that a regular file may be read; of its content nothing is looked at.

    Raises:
        OSError: if it may not.
    """
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        open(path, 'rb').close()  # which raises the reason, if there is any


def check_folder(path: str | os.PathLike) -> None:
    """Checks that the files of a folder and of those in it may be read; of one that is not there, nothing.

    Raises:
        OSError: if one may not.
    """

    def fail(error):
        if not isinstance(error, FileNotFoundError):
            raise error

    for place, _, files in os.walk(path, onerror=fail):
        for name in files:
            check_file(os.path.join(place, name))
