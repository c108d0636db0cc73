"""A run's folder: which run it belongs to, and who is writing to it."""

import contextlib
import errno
import fcntl
import logging
import pathlib
import sys
import tempfile
from collections.abc import Iterator

from ml_collections import ConfigDict

from efficiency import console, records
from efficiency.errors import RunError, Stopped, UserError
from efficiency.training.identity import differing_keys


def existing_record(workdir: pathlib.Path, config: ConfigDict) -> records.Record | None:
    """The record that a run of this config has left in a folder, None where there is none.

    Raises:
        UserError: if the folder holds a run of another config, or something that is no valid record.
    """
    try:
        if (workdir / records.FILE_NAME).is_file() and (workdir / records.FILE_NAME).stat().st_size == 0:
            return None  # what a loss of power can leave; the checkpoints have what it had
        record = records.read(workdir)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f'cannot read {error.filename}: {error.strerror}; take another --workdir') from error
    except records.RecordError as error:
        raise UserError(f'{error}; take another --workdir, or move that file away') from error
    keys = differing_keys(config.to_dict(), record['config'])
    if keys:
        raise UserError(
            f'{workdir} holds a run of another config, which differs in {", ".join(keys)}; take another --workdir'
        )
    return record


# A disk that is full, a quota that is used up, a file too large, a disk that is broken or no longer writable.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextlib.contextmanager
def locked(workdir: pathlib.Path) -> Iterator[None]:
    """Makes the folder and keeps other processes out of it; the lock ends with the process, however that ends.

    Raises:
        UserError: if the folder cannot be made or written to, or another process holds it.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / '.lock', 'a')  # noqa: SIM115  (held open for as long as the lock)
        for left_over in workdir.glob(f'.{records.FILE_NAME}.*'):  # by a process that was killed
            left_over.unlink(missing_ok=True)
        tempfile.TemporaryFile(dir=workdir).close()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(f'cannot write to {workdir}: {error.strerror}; take another --workdir') from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f'{workdir} is in use by another process: wait, or take another --workdir') from error
        except OSError as error:
            raise UserError(f'cannot lock {workdir}: {error.strerror}; take another --workdir') from error
        yield


class _LogFile(logging.FileHandler):
    """A log that says by an exception that it cannot be written, as every other file here."""

    def handleError(self, record):  # noqa: N802  (the name that logging calls)
        error = sys.exc_info()[1]
        if isinstance(error, OSError) and error.filename is None:
            error.filename = self.baseFilename
        raise  # noqa: PLE0704  (called where the exception is being handled)


@contextlib.contextmanager
def log_file(workdir: pathlib.Path) -> Iterator[None]:
    """Adds what this package logs to `run.log` in the folder, what libraries say past Python, and how a run failed."""
    logger = logging.getLogger('efficiency')
    handler = _LogFile(workdir / 'run.log', encoding='utf-8', errors='backslashreplace')
    handler.setFormatter(logging.Formatter('%(asctime)s %(message)s'))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with console.libraries_to(handler.stream):
            yield
    except UserError:
        raise  # no run has begun
    except Exception as error:
        with contextlib.suppress(OSError):  # as the disk may be full, which is what the error says then
            logger.error('%s', error, exc_info=not isinstance(error, RunError | Stopped | OSError))
        raise
    finally:
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):  # of a line that could not be written, which was said then
            handler.close()
