"""Where the hosts of a run meet before jax connects them: who does not come, or comes by a wrong number, is told so.

jax ends a process whose number is wrong, or whose fellows do not come, by an abort with a C++ trace. So the hosts say
their numbers first, over a socket at the coordinator's own address, which is given up before jax takes it.
"""

import contextlib
import json
import os
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

from efficiency.errors import UserError

_PROTOCOL = 'efficiency 1'
_SECONDS_BETWEEN_TRIES = 0.3
# Once all are there, for one too many; once something is wrong, for those that are to be told.
_SECONDS_FOR_MORE, _SECONDS_TO_TELL = 1, 3
_LONGEST_LINE = 4096


def meet(address: str, count: int, index: int, seconds: float, versions: Mapping[str, str]) -> None:
    """Returns once all hosts are there, each with a number of its own, and know it of one another.

    Args:
        address: HOST:PORT, at which host 0 listens.
        count: how many hosts there are to be.
        index: this host's number, from 0.
        seconds: how long to wait for the others.
        versions: of the packages that must be the same for the hosts to connect.

    Raises:
        UserError: if one does not come in time, two have one number or one a number too high, or they do not agree on
            how many they are or on versions: on every host that has come.
    """
    host, port = parse_address(address)
    if index >= count:
        seconds = _SECONDS_TO_TELL  # for the others to know
    deadline = time.monotonic() + seconds
    us = {'protocol': _PROTOCOL, 'index': index, 'count': count, 'versions': dict(versions)}
    if index == 0:
        _receive(host, port, us, deadline, seconds)
        return
    if index < count:
        _announce(host, port, us, deadline, seconds)
        return
    with contextlib.suppress(UserError):
        _announce(host, port, us, deadline, seconds)
    raise UserError(_too_high(index, count))


def parse_address(address: str) -> tuple[str, int]:
    """('host', port) of 'host:port', where a numeric IPv6 address is in brackets.

    Raises:
        UserError: if it is none.
    """
    host, colon, port = address.rpartition(':')
    host = host.removeprefix('[').removesuffix(']')
    if not (colon and host and port.isdecimal() and 0 < int(port) < 2**16):
        raise UserError(f'--coordinator={address} is no address; it must be HOST:PORT, as 10.0.0.1:8476')
    return host, int(port)


def _too_high(index: int, count: int) -> str:
    return f'--host={index}, of {count} hosts: they are numbered from 0 to {count - 1}'


def _receive(host: str, port: int, us: dict[str, Any], deadline: float, seconds: float) -> None:
    """Host 0's part: waits for the others, and tells them what came of it."""
    count = us['count']
    came: dict[int, socket.socket] = {}
    unheard: dict[socket.socket, bytes] = {}
    problem = None
    with contextlib.ExitStack() as open_:
        listener = open_.enter_context(_listening(port))
        while True:
            if len(came) == count - 1:
                deadline = min(deadline, time.monotonic() + _SECONDS_FOR_MORE)
            left = deadline - time.monotonic()
            if left <= 0 and len(came) == count - 1:
                break
            if left <= 0:
                missing = ', '.join(str(i) for i in range(1, count) if i not in came)
                problem = problem or (
                    f'of {count} hosts {missing} did not come to {host}:{port} within {seconds:.0f} s; start each with '
                    'the same --coordinator and --num_hosts, and --host from 0 on'
                )
                break
            for ready in select.select([listener, *unheard, *came.values()], [], [], left)[0]:
                if ready is listener:
                    unheard[open_.enter_context(listener.accept()[0])] = b''
                elif ready not in unheard:
                    # It has said all it has to say: it is gone, and may come again.
                    came = {index: connection for index, connection in came.items() if connection is not ready}
                elif (said := _more(ready, unheard)) and (wrong := _admit(said, us, ready, came)):
                    # Who else comes now is told as well.
                    problem, deadline = problem or wrong, min(deadline, time.monotonic() + _SECONDS_TO_TELL)
        # Closed before the others hear, as they connect to jax at the same address next.
        listener.close()
        for connection in came.values():
            with contextlib.suppress(OSError):
                _say(connection, {'problem': problem})
    if problem:
        raise UserError(problem)


def _listening(port: int) -> socket.socket:
    try:
        # On every address that the machine has, as jax does.
        both = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(('', port), family=family, dualstack_ipv6=both, backlog=1024)
    except OSError as error:
        raise UserError(
            f'cannot listen at port {port}, as --coordinator asks: {os.strerror(error.errno)}; take another'
        ) from error


def _more(connection: socket.socket, unheard: dict[socket.socket, bytes]) -> dict | None:
    """What a host says, once it has said it; whatever else connects is let go of."""
    try:
        received = connection.recv(_LONGEST_LINE)
    except OSError:
        received = b''
    unheard[connection] += received
    if received and b'\n' not in unheard[connection] and len(unheard[connection]) < _LONGEST_LINE:
        return None
    try:
        said = json.loads(unheard.pop(connection))
        if said['protocol'] == _PROTOCOL and int(said['index']) > 0:
            return {'index': int(said['index']), 'count': int(said['count']), 'versions': dict(said['versions'])}
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        pass
    connection.close()
    return None


def _admit(said: dict, us: dict, connection: socket.socket, came: dict[int, socket.socket]) -> str | None:
    """Notes who came; returns what is wrong with it."""
    index, count = said['index'], us['count']
    differ = [name for name, version in us['versions'].items() if said['versions'].get(name) != version]
    if said['count'] != count:
        problem = f'host {index} was started with --num_hosts={said["count"]} and host 0 with --num_hosts={count}'
    elif index >= count:
        problem = _too_high(index, count)
    elif differ:
        name = differ[0]
        problem = f'host {index} has {name} {said["versions"].get(name)} and host 0 has {name} {us["versions"][name]}'
    elif index in came:
        problem = f'two hosts were started with --host={index}; each needs a number of its own'
    else:
        came[index] = connection
        return None
    with contextlib.suppress(OSError):
        _say(connection, {'problem': problem})
    return problem


def _announce(host: str, port: int, us: dict[str, Any], deadline: float, seconds: float) -> None:
    """The part of a host other than 0: says its number to host 0 and hears what came of it."""
    reason = 'it does not answer'
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, port), timeout=left) as connection:
                reason = 'it answers, and the other hosts have not all come'
                _say(connection, us)
                heard = connection.makefile().readline()
            if heard:
                answer = json.loads(heard)
                if not isinstance(answer, dict) or 'problem' not in answer:
                    raise ValueError('no answer of ours')
                if answer['problem']:
                    raise UserError(answer['problem'])
                return
            reason = 'it hung up'
        except (OSError, ValueError) as error:
            if isinstance(error, socket.gaierror):
                reason = f'the name {host} is not known'
            elif isinstance(error, ValueError):
                reason = 'something else answers there'
        time.sleep(_SECONDS_BETWEEN_TRIES)
    raise UserError(
        f'host {us["index"]} waited {seconds:.0f} s for the coordinator at {host}:{port}: {reason}; is host 0 running, '
        'with the same --coordinator?'
    )


def _say(connection: socket.socket, message: dict) -> None:
    connection.sendall(json.dumps(message).encode() + b'\n')
