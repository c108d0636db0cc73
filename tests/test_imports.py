"""Where what may be imported: nothing below imports what stands above it (docs/design.md)."""

import ast
import re

from tests.conftest import ROOT

# From the ground up; those of a line do not import one another, but for what stands in one folder.
FLOORS = (
    ('errors',),
    ('values', 'tables', 'arguments', 'console'),
    ('metrics', 'files', 'registration', 'stages', 'backend', 'source'),
    ('schema',),
    ('record_schema',),
    ('records',),
    ('published',),
    ('summary', 'flops', 'data'),
    ('layers',),
    ('tasks',),
    ('tasks/images', 'tasks/translation', 'tasks/language'),
    ('training',),
    ('costs', 'config_file', 'engines'),
    ('analysis',),
    ('studies', 'against'),
    ('main', 'count', 'report', 'study', 'baselines', 'play'),
)
FLOOR = {unit: number for number, units in enumerate(FLOORS) for unit in units}


def unit_of(module):
    """What a module's name belongs to: 'efficiency.tasks.images.loss' to 'tasks/images'."""
    return '/'.join(re.sub(r'^efficiency\.?', '', module).split('.')[: 2 if '.tasks.' in module else 1])


def unit(module):
    name = unit_of(module)
    return name if name in FLOOR else name.split('/')[0]


def imported(path):
    """The names of this package's modules that a file imports, at its top or anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == 'efficiency':
            yield from (f'efficiency.{name.name}' for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('efficiency.'):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith('efficiency.'))


def test_nothing_imports_what_stands_above_it():
    wrong = []
    for path in sorted((ROOT / 'efficiency').rglob('*.py')):
        module = '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')
        if module == 'efficiency':  # the package's face
            continue
        ours = unit(module)
        for name in imported(path):
            theirs = unit(name)
            if theirs in FLOOR and theirs != ours and FLOOR[theirs] >= FLOOR[ours]:
                wrong.append(f'{path.relative_to(ROOT)} imports {name}')
    assert wrong == []


def test_training_names_no_task():
    named = {
        name for path in (ROOT / 'efficiency' / 'training').rglob('*.py') for name in imported(path)
        if unit_of(name).startswith('tasks/')
    }  # fmt: skip
    assert named <= {'efficiency.tasks.task', 'efficiency.tasks.evaluation'}


def test_every_module_has_a_floor():
    units = {unit('.'.join(path.relative_to(ROOT).with_suffix('').parts)) for path in ROOT.glob('efficiency/**/*.py')}
    assert units - {'__init__'} == set(FLOOR)
