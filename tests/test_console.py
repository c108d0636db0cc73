"""How what ends a command before its time is said, and by which exit code."""

import pytest

from efficiency import console
from efficiency.errors import DataError, RunError, Stopped, UserError


@pytest.mark.parametrize(
    ('end', 'code'),
    [
        (UserError('a mistake'), 2), (RunError('a mistake'), 1), (DataError('a mistake'), 1),
        (Stopped('a mistake', 15), 143), (UserError('a\nmistake'), 2),
    ],
)  # fmt: skip
def test_what_ends_a_command_is_one_line_and_its_exit_code(end, code, capsys):
    @console.command
    def main():
        raise end

    assert main() == code
    assert capsys.readouterr() == ('', 'efficiency: a mistake\n')


def test_a_bug_is_none_of_it(capsys):
    @console.command
    def main():
        raise ValueError('a bug')

    with pytest.raises(ValueError, match='a bug'):
        main()
    assert capsys.readouterr().err == ''
