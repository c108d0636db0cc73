"""What the hosts of a run tell one another outside of their collectives."""

from typing import Any

# As long as one may wait for another host that is alive: what ends the wait is the watch.
_AGES_MS = 10**9


class Store:
    """jax's key-value store, which host 0 keeps, below a folder of our own.

    Every call may raise RuntimeError: where host 0 is gone, or the network to it is cut.
    """

    def __init__(self, client: Any):
        self._client = client

    def put(self, key: str, value: str) -> None:
        """Gives a key a value, whatever it had."""
        self._client.key_value_set(_key(key), value, allow_overwrite=True)

    def put_once(self, key: str, value: str) -> str:
        """The value that the key has: this one, or the one that was put before."""
        try:
            self._client.key_value_set(_key(key), value)
        except RuntimeError as error:
            if 'ALREADY_EXISTS' not in str(error):
                raise
        return self.wait(key)

    def all(self, folder: str) -> dict[str, str]:
        """What is below a folder, by what follows its name."""
        found = self._client.key_value_dir_get(_key(folder))
        return {key.removeprefix(_key(folder)): value for key, value in found}

    def wait(self, key: str) -> str:
        """The value of a key, once it has one."""
        return self._client.blocking_key_value_get(_key(key), _AGES_MS)

    def add(self, key: str) -> None:
        """Adds one to a number."""
        self._client.key_value_increment(_key(key), 1)

    def barrier(self, name: str) -> None:
        """Waits until all hosts have come here."""
        self._client.wait_at_barrier(_key(name), _AGES_MS)


def _key(name: str) -> str:
    return f'efficiency/{name}'
