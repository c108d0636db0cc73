"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import hashlib
import json
import logging
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError
from safetensors import numpy as safetensors

from efficiency import console
from efficiency.errors import UserError
from efficiency.files import write_whole

_KEPT = 3
_FOLDER, _DAMAGED_FOLDER = 'checkpoints', 'damaged-checkpoints'
_STATE, _PROGRESS = 'state.safetensors', 'progress.json'
# What files that are cut short or changed make their readers raise.
_DAMAGE = (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError, SafetensorError)
_log = logging.getLogger('efficiency')


class Checkpoints:
    """The newest few checkpoints of a run, written in the background, each whole or not there.

    A checkpoint is a folder `checkpoints/<step>` with the training state (`state.safetensors`) and the run's progress
    (`progress.json`): config, curve, clock, steps of each program, and what both hash to, so that damage to the files
    does not pass for the run.
    """

    def __init__(self, workdir: pathlib.Path):
        self._workdir = workdir
        self._writer = ThreadPoolExecutor(1)
        self._text = _ProgressText()
        self._under_way: Future | None = None
        self._newest: Future | None = None

    def steps(self) -> list[int]:
        """Of the checkpoints there are, the newest first."""
        folder = self._workdir / _FOLDER
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def save(self, step: int, state: Any, progress: dict) -> None:
        """Starts writing a checkpoint; waits for the one before it, if that is still being written.

        Raises:
            OSError: if the one before could not be written.
        """
        self.wait()
        # Copied, because the run goes on while this is written, and its buffers on the device are given away.
        arrays = {name: np.array(leaf, copy=True) for name, leaf in _by_name(state).items()}
        self._under_way = self._newest = self._writer.submit(self._write, step, arrays, *self._text.of(progress))

    def _write(self, step: int, arrays: dict[str, np.ndarray], progress_sha256: str, *progress: bytes) -> None:
        folder = self._workdir / _FOLDER
        folder.mkdir(exist_ok=True)
        for left_over in folder.glob('.*'):  # by a process that was killed
            shutil.rmtree(left_over, ignore_errors=True)
        temporary = pathlib.Path(tempfile.mkdtemp(dir=folder, prefix=f'.{step}.'))
        try:
            state = safetensors.save(arrays)
            digests = json.dumps({'state_sha256': _sha256(state), 'progress_sha256': progress_sha256})
            write_whole(temporary / _STATE, state)
            write_whole(temporary / _PROGRESS, digests[:-1].encode(), b', "progress": "', *progress, b'"}')
            temporary.chmod(0o755)
            # One of the same step is of the same state, before its evaluation.
            _drop(folder / str(step))
            os.replace(temporary, folder / str(step))
            _see_onto_disk(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        for old in self.steps()[_KEPT:]:
            _drop(folder / str(old))

    def restore(
        self,
        like: Callable[[dict], Any] | None = None,
        accept: Callable[[dict], None] | None = None,
        set_aside: bool = False,
    ) -> tuple[Any, dict] | None:
        """The newest whole checkpoint; those that are damaged are passed over, and it is said.

        Args:
            like: gives the structure of the state that a progress has come to; None for plain dicts.
            accept: is given a checkpoint's progress before its state is read, and may raise.
            set_aside: whether to move damaged ones out of the way of those to come.

        Returns:
            Its state and progress; None where no checkpoint is whole.
        """
        for step in self.steps():
            folder = self._workdir / _FOLDER / str(step)
            try:
                progress, digest = _read_progress(folder / _PROGRESS)
                if accept:
                    accept(progress)
                return _read_state(folder / _STATE, digest, like and like(progress)), progress
            except _DAMAGE as error:
                lines = str(error).splitlines() or [type(error).__name__]
                message = f'the checkpoint of step {step} is damaged and is passed over: {lines[0]}'
            _log.info(message)
            console.say(message)
            if set_aside:
                aside = self._workdir / _DAMAGED_FOLDER
                aside.mkdir(exist_ok=True)
                os.replace(folder, tempfile.mkdtemp(dir=aside, prefix=f'{step}.'))
        return None

    def wait(self) -> None:
        """Until everything is on disk.

        Raises:
            OSError: if it could not be written.
        """
        if self._under_way:
            under_way, self._under_way = self._under_way, None
            under_way.result()

    def until_written(self, seconds: float) -> None:
        """Waits as long at most for what is being written; from any thread, and whether or not it can be written."""
        if self._newest:
            futures.wait([self._newest], seconds)

    def close(self) -> None:
        """Ends the thread that writes, after what it is writing."""
        self._writer.shutdown()


class _ProgressText:
    """A run's progress as JSON, and that as a string within another: each point of its curve is turned into it once.

    The curve stands first, so that of a longer one only what is new is hashed: a save costs the same however many
    evaluations there were.
    """

    def __init__(self):
        self._begin()

    def _begin(self) -> None:
        self._points, self._hash, self._within = 0, hashlib.sha256(), bytearray()
        self._add('{"curve": [')

    def _add(self, text: str) -> None:
        self._hash.update(text.encode())
        self._within += _within_json(text)

    def of(self, progress: Mapping[str, Any]) -> tuple[str, bytes | bytearray, bytes]:
        """sha256 of the text, and the text without its quotes in two parts, of which the first is there until the next.

        Args:
            progress: its `curve` begins as that of the one before, if it is not shorter.
        """
        curve = progress.get('curve', ())
        if len(curve) < self._points:
            self._begin()
        for point in curve[self._points :]:
            self._add((', ' if self._points else '') + json.dumps(point, allow_nan=False))
            self._points += 1
        rest = json.dumps({key: value for key, value in progress.items() if key != 'curve'}, allow_nan=False)
        end = ']' + rest.replace('{', ', ' if len(rest) > 2 else '', 1)
        digest = self._hash.copy()
        digest.update(end.encode())
        return digest.hexdigest(), self._within, _within_json(end)


def _within_json(text: str) -> bytes:
    """A text as it stands within the quotes of JSON."""
    return json.dumps(text)[1:-1].encode()


def _read_progress(path: pathlib.Path) -> tuple[dict, str]:
    kept = json.loads(path.read_text(encoding='utf-8'))
    if _sha256(kept['progress'].encode()) != kept['progress_sha256']:
        raise ValueError(f'{path.name} is not what was written')
    return json.loads(kept['progress']), kept['state_sha256']


def _read_state(path: pathlib.Path, digest: str, like: Any) -> Any:
    content = path.read_bytes()
    if _sha256(content) != digest:
        raise ValueError(f'{path.name} is not what was written')
    arrays = safetensors.load(content)
    if like is None:
        return traverse_util.unflatten_dict(arrays, sep='/')
    wanted = _by_name(like)
    if {name: (leaf.shape, leaf.dtype) for name, leaf in wanted.items()} != {
        name: (array.shape, array.dtype) for name, array in arrays.items()
    }:
        raise UserError(
            f'{path} holds arrays of other names or shapes than network and optimizer have now, and nothing can go on '
            'from them; take another --workdir'
        )
    return filled(like, arrays)


def to_bytes(state: Any, progress: dict) -> bytes:
    """A state of host arrays and a run's progress, to be sent."""
    arrays = {name: np.asarray(leaf) for name, leaf in _by_name(state).items()}
    return safetensors.save(arrays, metadata={_PROGRESS: json.dumps(progress, allow_nan=False)})


def from_bytes(content: bytes, like: Callable[[dict], Any]) -> tuple[Any, dict]:
    """What `to_bytes` was given; `like` is as of `Checkpoints.restore`."""
    arrays = safetensors.load(content)
    # The file's header, as long as its first 8 bytes say.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], 'little')])
    progress = json.loads(header['__metadata__'][_PROGRESS])
    wanted = like(progress)
    return filled(wanted, arrays), progress


def filled(like: Any, arrays: Mapping[str, Any]) -> Any:
    """Arrays by the names that they have in a file, in the structure of `like`."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in _by_name(like)])


def digest(state: Any) -> str:
    """sha256 of the arrays of a state, with their names."""
    found = hashlib.sha256()
    for name, leaf in _by_name(state).items():
        array = np.ascontiguousarray(leaf)
        found.update(f'{name} {array.dtype} {array.shape}'.encode())
        found.update(array.view(np.uint8))
    return found.hexdigest()


def _drop(folder: pathlib.Path) -> None:
    """Deletes a checkpoint, which at no moment is there in part."""
    if folder.exists():
        going = folder.with_name(f'.{folder.name}.going')
        os.replace(folder, going)
        shutil.rmtree(going, ignore_errors=True)


def _see_onto_disk(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _by_name(state: Any) -> dict[str, Any]:
    leaves, _ = jax.tree.flatten_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf for path, leaf in leaves}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
