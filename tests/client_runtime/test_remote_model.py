"""A model's files are read while its accelerator is attached to."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from client_runtime.models.bundle import Bundle
from client_runtime.models.model import Model
from client_runtime.remote_model import RemoteModel
from client_runtime.transport.attachment import Attachment
from tests.conftest import eventually, patience


class Files:
    """A model whose files can be read once somebody has begun to connect."""

    def __init__(self, error: Exception | None = None) -> None:
        self.connecting = threading.Event()
        self.read = threading.Event()
        self._error = error

    def bundle(self) -> Bundle:
        """See `Model.bundle`."""
        assert self.connecting.wait(patience(30))
        self.read.set()
        if self._error is not None:
            raise self._error
        return Bundle(cast(Any, None), bytes(32), {})


class Connection:
    """An attachment that runs nothing."""

    known_accelerator_id = None

    def __init__(self) -> None:
        self.closed = False

    def run(self, call: Any, *, repeatable: bool) -> Any:
        """See `Attachment.run`."""
        raise InterruptedError("it ran")

    def close(self) -> None:
        """See `Attachment.close`."""
        self.closed = True


def model_of(files: Files, connection: Connection) -> RemoteModel:
    """A model on that connection, which is there once its files were read."""

    def connect() -> Attachment:
        files.connecting.set()
        assert files.read.wait(patience(30))
        return cast(Attachment, connection)

    return RemoteModel(cast(Model, files), connect)


def test_both_are_done_at_one_time() -> None:
    """Each of them ends only where the other has begun."""
    with pytest.raises(InterruptedError, match="it ran"):
        model_of(Files(), Connection()).run({})


def test_files_that_cannot_be_read_leave_no_connection() -> None:
    """Whenever it comes, it is closed."""
    connection = Connection()
    with pytest.raises(OSError, match="gone"):
        model_of(Files(OSError("gone")), connection).run({})
    eventually(lambda: connection.closed)


def test_what_connecting_raises_is_raised() -> None:
    """As it is, once the files were read."""
    files = Files()

    def connect() -> Attachment:
        files.connecting.set()
        raise PermissionError("no")

    with pytest.raises(PermissionError, match="no"):
        RemoteModel(cast(Model, files), connect).run({})
    assert files.read.is_set()
