"""Data sets that TensorFlow Datasets has prepared, opened without tensorflow: those stored as array_record."""

import difflib
import pathlib
import re
from typing import Any

from efficiency.data.readable import check_folder, sentences
from efficiency.errors import UserError

_IMAGENET = """imagenet2012 is not prepared in {folder}. Log in at https://image-net.org/download-images, put \
ILSVRC2012_img_train.tar (138 GB) and ILSVRC2012_img_val.tar (6 GB) into {folder}/downloads/manual, and run: \
pip install ".[prepare]" && tfds build {name} --data_dir={folder} --file_format=array_record \
(once; about two hours on two cores)"""

# What each version of a data set has in its folder.
_INFO = 'dataset_info.json'


def open_builder(name: str, folder: pathlib.Path | None, others: list[str]) -> Any:
    """The builder of a data set in TensorFlow Datasets' own folder, or another.

    Args:
        name: as TensorFlow Datasets writes it, with config and version if need be: 'imagenet_resized/64x64:0.1.0'.
        folder: where it keeps its data; its default where None.
        others: names that the user may have meant.

    Raises:
        UserError: if it is not there, or not stored as array_record; with the command that would mend that.
    """
    import tensorflow_datasets as tfds

    folder = (folder or pathlib.Path(tfds.core.constants.DATA_DIR).expanduser()).absolute()
    if re.fullmatch(r'\w[\w-]*', _base(name)):
        with sentences():  # what may not be read, TensorFlow Datasets says is not there, or a trace
            check_folder(folder / _base(name))
    if not is_there(name, folder) and (sentence := _elsewhere(name, folder)):
        raise UserError(sentence)
    try:
        builder = tfds.builder(name, data_dir=folder, try_gcs=False)
        prepared = builder.info.splits
    except Exception as error:  # whatever it makes of a description that is not what it should be
        if isinstance(error, tfds.core.DatasetNotFoundError | FileNotFoundError) and not is_there(name, folder):
            raise UserError(_not_found(name, folder, others)) from None
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = f'TensorFlow Datasets cannot open {name!r} in {folder}: {lines[0]}'
        # A name without a version is of what is there, and that cannot be opened.
        raise UserError((name != _base(name) and _other_versions(name, folder)) or reason) from error
    if not prepared:
        raise UserError(_other_versions(name, folder) or _not_prepared(name, folder, others))
    if any(pathlib.Path(builder.data_dir).glob('*.array_record*')):
        # Perhaps beside the files that it was converted from, whose format its description still names.
        builder.info.set_file_format('array_record', override=True, override_if_initialized=True)
    if builder.info.file_format.value != 'array_record':
        raise UserError(
            f'{name} is stored in {builder.data_dir} as {builder.info.file_format.value}, which only tensorflow reads; '
            f'convert it with: pip install ".[prepare]" && tfds convert_format --dataset_version_dir='
            f'{builder.data_dir} --out_file_format=array_record'
        )
    return builder


def is_there(name: str, folder: pathlib.Path) -> bool:
    """Whether TensorFlow Datasets has a data set of that name, in any version and config, in its folder."""
    return bool(_prepared_in(folder / _base(name)))


def is_known(name: str) -> bool:
    """Whether TensorFlow Datasets can make a data set of that name."""
    import tensorflow_datasets as tfds

    return _base(name) in tfds.list_builders(with_community_datasets=False)


def _base(name: str) -> str:
    """The data set's name alone."""
    return re.split('[/:]', name, maxsplit=1)[0]


def _prepared_in(folder: pathlib.Path) -> list[pathlib.Path]:
    """The folders of versions in a data set's folder, those of its configs included."""
    found = [path.parent for depth in ('*', '*/*') for path in folder.glob(f'{depth}/{_INFO}')]
    return sorted(found, key=lambda path: [int(part) if part.isdecimal() else -1 for part in path.name.split('.')])


def _elsewhere(name: str, folder: pathlib.Path) -> str | None:
    """What is wrong where the folder is the data set's own, or a version's in it; None where it is not."""
    places = [folder, folder.resolve(), *folder.parents[:3]]  # itself also where a link of another name leads to it
    own = next((path for path in places if path.name == _base(name)), None)
    if own and _prepared_in(own):
        return (
            f"{folder} is the data set {_base(name)}'s own folder; TensorFlow Datasets looks for it in the one above: "
            f'pass --data_dir={own.parent}'
        )
    if (folder / _INFO).is_file():
        return (
            f'{folder} is a version of a prepared data set; it must be in DATA/{_base(name)}/<version>, with '
            '--data_dir=DATA'
        )
    return None


def _other_versions(name: str, folder: pathlib.Path) -> str | None:
    """What is there where a data set is prepared in other versions or configs than is asked for; else None."""
    names = []
    for path in _prepared_in(folder / _base(name)):
        *names_of, version = path.relative_to(folder).parts
        names.append(f'{"/".join(names_of)}:{version}')
    if not names or name in names:
        return None
    return (
        f'{name} is not prepared in {folder} in the version that this asks for, but as {", ".join(names)}; take it as '
        f'--config=FILE:{names[-1]}'
    )


def _not_found(name: str, folder: pathlib.Path, others: list[str]) -> str:
    import tensorflow_datasets as tfds

    there = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    known = [*others, *there, *tfds.list_builders(with_community_datasets=False)]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    if near:
        hint = f'the nearest are {", ".join(dict.fromkeys(near))}'
    else:
        hint = (
            f'there are {", ".join([*others, *there])}' if others or there else 'pass --data_dir, or set TFDS_DATA_DIR'
        )
    return f'there is no data set {name!r} in {folder}, nor has TensorFlow Datasets one of that name; {hint}'


def _not_prepared(name: str, folder: pathlib.Path, others: list[str]) -> str:
    if _base(name) == 'imagenet2012':
        return _IMAGENET.format(name=name, folder=folder)
    near = difflib.get_close_matches(name, others, n=1)
    hint = f' (did you mean {near[0]}?)' if near else ''
    return (
        f'the data set {name} is not prepared in {folder}{hint}; prepare it with: pip install ".[prepare]" && '
        f'tfds build {name} --data_dir={folder} --file_format=array_record'
    )
