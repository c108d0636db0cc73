"""Files that are written whole or not at all."""

import os
import pathlib
import tempfile


def write_atomically(path: pathlib.Path, *parts: bytes, wait: bool = True) -> None:
    """Replaces a file by a new one: whoever reads it, at any moment, sees the old one or the new one whole."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f'.{path.name}.')
    os.close(descriptor)
    try:
        write_whole(pathlib.Path(temporary), *parts, wait=wait)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise


def write_whole(path: pathlib.Path, *parts: bytes, wait: bool = True) -> None:
    """Writes a file, and by default waits until the disk has it.

    Raises:
        OSError: if there is no room, or another reason; names the file.
    """
    try:
        with open(path, 'wb') as file:
            file.writelines(parts)
            file.flush()
            if wait:
                os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
