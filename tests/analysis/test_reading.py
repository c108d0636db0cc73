"""What is read of many records is what is in them now, whatever is kept of them from before."""

import dataclasses
import json
import multiprocessing
import os
import shutil
from concurrent.futures import Executor, Future, ProcessPoolExecutor

import pytest

from efficiency import records
from efficiency.analysis import figures, kept_facts, reading
from efficiency.analysis.charts import Chart, Series
from efficiency.analysis.drawing import Drawing
from efficiency.analysis.helpers import helpers
from efficiency.analysis.runs import read_runs
from efficiency.errors import RunError
from tests.analysis.conftest import BITS, make_record


@pytest.fixture(autouse=True)
def kept_of_few(monkeypatch):
    monkeypatch.setattr(reading, 'LEAST_KEPT', 2)


@pytest.fixture
def folder(save):
    """Records of two kinds of metrics, and what is none."""
    for seed in range(3):
        save(f'a{seed}', seed=seed, accuracies=(0.25, 0.5 + seed / 16, 0.875), learning_rate=0.1)
        save(f'b{seed}', model='other', seed=seed, metric=BITS, accuracies=(3.5, 2.25), target=2.5)
    found = save('\N{GREEK SMALL LETTER ALPHA}', model='\N{GREEK SMALL LETTER ALPHA}')
    (found / 'cut.json').write_text('{"schema_version": 1')
    (found / 'no-record.json').write_text(json.dumps(make_record(seed=9) | {'seed': 'x'}))
    (found / 'running.json').write_text(json.dumps(make_record(seed=9) | {'status': 'running'}))
    (found / 'folder.json').mkdir()
    return found


def said(folder, **options):
    """All that is read of a folder, as what can be compared."""
    runs, left_out = read_runs(folder, **options)
    values = [dataclasses.asdict(run) | {'curve': {k: v.tolist() for k, v in run.curve.items()}} for run in runs]
    return repr(values), left_out


def read_anew(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(reading, 'LEAST_KEPT', 10**9)
        return said(folder)


def kept(folder):
    return (folder / kept_facts.FILE_NAME).read_bytes()


def test_what_is_kept_is_what_is_read_and_nothing_is_parsed_twice(folder, monkeypatch):
    anew = read_anew(folder, monkeypatch)
    assert not (folder / kept_facts.FILE_NAME).exists()
    assert len(anew[1]) == 4
    assert said(folder) == anew
    parsed = []
    monkeypatch.setattr(
        records, 'parsed', lambda data, path, parse=records.parsed: parsed.append(path) or parse(data, path)
    )
    assert said(folder) == anew
    # What is no record has nothing to keep, and is looked at again.
    assert {os.path.basename(path) for path in parsed} == {'cut.json', 'no-record.json'}


def test_a_record_that_changes_is_read_anew_though_its_size_and_time_are_the_same(folder, monkeypatch):
    said(folder)
    path = folder / 'a0' / 'run.json'
    before = path.stat()
    text = path.read_text().replace('"top1": 0.25', '"top1": 0.26', 1)
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    now = said(folder)
    assert '0.26' in now[0]
    assert now == read_anew(folder, monkeypatch)
    path.write_text(text[:-9])
    assert any(entry.path == str(path) and 'is not JSON' in entry.reason for entry in said(folder)[1])


def test_records_that_come_go_and_change_places_are_what_they_are(folder, monkeypatch):
    said(folder)
    shutil.rmtree(folder / 'a0')
    (folder / 'b0').rename(folder / 'c')
    (folder / 'd.json').write_text(json.dumps(make_record(seed=7)))
    a1, a2 = (folder / name / 'run.json' for name in ('a1', 'a2'))
    one, other = a1.read_bytes(), a2.read_bytes()
    a1.write_bytes(other)
    a2.write_bytes(one)
    assert said(folder) == read_anew(folder, monkeypatch)
    size = len(kept(folder))
    assert said(folder) == read_anew(folder, monkeypatch)
    assert len(kept(folder)) == size


@pytest.mark.parametrize('damage', ['flipped', 'cut', 'empty', 'long', 'other program'])
def test_a_damaged_file_of_what_is_kept_says_nothing_and_is_replaced(folder, monkeypatch, damage):
    right = said(folder)
    whole = kept(folder)
    for at in range(0, len(whole), max(1, len(whole) // 40)):
        broken = {
            'flipped': whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            'cut': whole[:at],
            'empty': b'',
            'long': whole + b'x',
            'other program': bytes(32) + whole[32:],
        }[damage]
        (folder / kept_facts.FILE_NAME).write_bytes(broken)
        assert not kept_facts.load(folder)
        assert said(folder) == right
        assert kept(folder) == whole
        if damage not in ('flipped', 'cut'):
            break


def test_where_nothing_can_be_kept_the_report_is_the_same(folder, monkeypatch):
    # Root may write anywhere, but over no folder.
    (folder / kept_facts.FILE_NAME).mkdir()
    assert said(folder) == read_anew(folder, monkeypatch)
    assert not [name for name in os.listdir(folder) if name.startswith('.') and name != kept_facts.FILE_NAME]


def read_again_and_again(folder):
    reading.LEAST_KEPT = 2
    found = set()
    for i in range(20):
        found.add(repr(said(folder)))
        if i % 3 == 0:
            (folder / kept_facts.FILE_NAME).unlink(missing_ok=True)
    return found


class Waiting(Executor):
    """Processes that are busy with something else."""

    def __init__(self):
        self.asked = []

    def submit(self, function, *arguments):
        self.asked.append(Future())
        return self.asked[-1]


def test_reports_at_once_find_the_same(folder, monkeypatch):
    right = {repr(read_anew(folder, monkeypatch))}
    with ProcessPoolExecutor(3, multiprocessing.get_context('spawn')) as pool:
        assert list(pool.map(read_again_and_again, [folder] * 3)) == [right] * 3
    assert {repr(said(folder))} == right


@pytest.mark.parametrize('records_at_once', [1, 3, 100])
def test_helpers_read_and_draw_what_is_read_and_drawn_here(folder, monkeypatch, records_at_once):
    monkeypatch.setattr(reading, '_AT_ONCE', records_at_once)
    chart = Chart('c', 'Chart', 'x', 'y', [Series('s', [1.0, 2.0], [3.0, 4.0], hover=['a', 'b'])])
    with helpers() as pool:
        drawing = Drawing(pool)
        drawing.begin([chart])
        assert said(folder, pool=pool) == read_anew(folder, monkeypatch)
        assert said(folder, pool=pool) == read_anew(folder, monkeypatch)
        assert drawing.drawn(chart) == Drawing().drawn(chart) == figures.draw(chart)


def test_charts_that_no_other_process_has_begun_with_are_drawn_here():
    charts = [Chart(name, name, 'x', 'y', [Series('s', [1.0], [2.0], hover=['a'])]) for name in 'abc']
    pool = Waiting()
    drawing = Drawing(pool)
    drawing.begin(charts)
    pool.asked[0].set_running_or_notify_cancel()  # the first is begun with, elsewhere
    drawing.help()
    assert [future.cancelled() for future in pool.asked] == [False, True, True]
    pool.asked[0].set_result('drawn elsewhere')
    assert drawing.drawn(charts[0]) == 'drawn elsewhere'
    assert [drawing.drawn(chart) for chart in charts[1:]] == [figures.draw(chart) for chart in charts[1:]]


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason='one core has no helpers')
def test_a_helper_that_is_killed_is_one_sentence():
    def ended():
        with helpers() as pool:
            pool.submit(os._exit, 1).result()

    with pytest.raises(RunError, match='was killed'):
        ended()
