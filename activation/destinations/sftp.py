"""A folder behind SFTP as a store for file drops. The server is the one whose key was pinned, or it is nobody.

`asyncssh` is imported where a connection is made: it is needed by those who deliver this way only.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from activation.sync.protocol import Fatal, Retryable
from activation.sync.secrets import Secret

TIMEOUT_SECONDS = 30
_PIECE = 1 << 18

Answer = TypeVar("Answer")


class SftpFolder:
    """One folder on one server. Files appear in it by a rename."""

    def __init__(
        self,
        host: str,
        folder: str,
        user: str,
        host_key: str,
        private_key: Secret | None = None,
        password: Secret | None = None,
        port: int = 22,
    ) -> None:
        """Store the account.

        Args:
            host: The server.
            folder: On it, created if it is missing.
            user: Who logs in.
            host_key: The server's public key as one line, `ssh-ed25519 AAAA...`, from whoever runs it.
            private_key: Ours, in OpenSSH's or PEM format.
            password: Instead.
            port: The server's.

        Raises:
            ValueError: No key of the server is pinned, or neither a key nor a password is ours.
        """
        if not host_key.strip():
            raise ValueError("The server's host key must be pinned: without it anybody could be the server")
        if private_key is None and password is None:
            raise ValueError("A private key or a password is needed")
        self._host, self._port, self._user = host, port, user
        self._folder = PurePosixPath(folder)
        self._host_key = host_key.strip()
        self._private_key, self._password = private_key, password
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._sftp: Any = None

    def put(self, name: str, source: Path) -> None:
        """Upload under a temporary name, then rename over whatever has the name."""

        async def upload(sftp: Any) -> None:
            await sftp.makedirs(str(self._folder), exist_ok=True)
            draft = str(self._folder / f".{name}.part")
            await sftp.put(str(source), draft)
            if (await sftp.stat(draft)).size != source.stat().st_size:
                raise Retryable("the server holds fewer bytes than were sent")
            await sftp.posix_rename(draft, str(self._folder / name))

        self._carry_out(upload)

    def read(self, name: str) -> Iterator[bytes] | None:
        """A file's bytes; nothing where there is none."""
        path = str(self._folder / name)
        if not self._carry_out(lambda sftp: sftp.isfile(path)):
            return None
        return self._pieces(path)

    def _pieces(self, path: str) -> Iterator[bytes]:
        offset = 0
        while True:

            async def piece(sftp: Any, at: int = offset) -> bytes:
                async with sftp.open(path, "rb") as file:
                    return bytes(await file.read(_PIECE, at))

            found = self._carry_out(piece)
            if not found:
                return
            offset += len(found)
            yield found

    def names(self, prefix: str) -> list[str]:
        """Names that begin so."""

        async def listed(sftp: Any) -> list[str]:
            if not await sftp.isdir(str(self._folder)):
                return []
            return sorted(str(name) for name in await sftp.listdir(str(self._folder)) if str(name).startswith(prefix))

        return self._carry_out(listed)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None and self._loop is not None:
            self._connection.close()
            self._loop.run_until_complete(self._connection.wait_closed())
        if self._loop is not None:
            self._loop.close()
        self._loop = self._connection = self._sftp = None

    def _carry_out(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
        import asyncssh  # noqa: PLC0415

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(self._with_connection(work))
        except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyImportError):
            raise Fatal("the server does not have the key that was pinned; nothing was sent") from None
        except asyncssh.PermissionDenied:
            raise Fatal("the server refuses the user or the credentials") from None
        except (asyncssh.SFTPPermissionDenied, asyncssh.SFTPNoSuchPath, asyncssh.SFTPNoSuchFile) as error:
            raise Fatal(f"the server refuses the folder: {type(error).__name__}") from None
        except (OSError, asyncssh.Error, TimeoutError) as error:
            self._connection = self._sftp = None
            raise Retryable(f"the connection to the server failed: {type(error).__name__}") from None

    async def _with_connection(self, work: Callable[[Any], Awaitable[Answer]]) -> Answer:
        import asyncssh  # noqa: PLC0415

        if self._sftp is None:
            pinned = asyncssh.import_public_key(self._host_key)
            self._connection = await asyncssh.connect(
                self._host,
                self._port,
                username=self._user,
                known_hosts=([pinned], [], []),
                client_keys=[asyncssh.import_private_key(self._private_key.reveal())] if self._private_key else [],
                password=self._password.reveal() if self._password else None,
                agent_path=None,
                config=None,
                connect_timeout=TIMEOUT_SECONDS,
                keepalive_interval=TIMEOUT_SECONDS,
            )
            self._sftp = await self._connection.start_sftp_client()
        return await work(self._sftp)
