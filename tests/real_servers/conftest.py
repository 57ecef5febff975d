"""Servers that take long to install are tested by `make test-real-servers` alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.real_servers.scenario")

from tests.real_servers.installing import NotInstallable  # noqa: E402
from tests.real_servers.scenario import counted  # noqa: E402
from tests.real_servers.servers import (  # noqa: E402
    GhostSite,
    MailmanServer,
    SshServer,
    ghost_site,
    mailman_server,
    ssh_server,
    sshd_program,
)

NEED_SERVERS = ["test_ghost.py", "test_mailman.py", "test_workspace.py"]
collect_ignore = [] if os.environ.get("REAL_SERVERS") else NEED_SERVERS


@pytest.fixture(scope="session")
def ghost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GhostSite]:
    try:
        with ghost_site(tmp_path_factory.mktemp("ghost")) as site:
            yield site
    except NotInstallable as error:
        pytest.skip(f"Ghost cannot be installed here, nothing was tested on it: {error}")


@pytest.fixture(scope="session")
def mailman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailmanServer]:
    try:
        with mailman_server(tmp_path_factory.mktemp("mailman")) as server:
            yield server
    except NotInstallable as error:
        pytest.skip(f"Mailman cannot be installed here, nothing was tested on it: {error}")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    pytest.importorskip("asyncssh", reason="asyncssh is an extra; SFTP is not tested without it")
    if sshd_program() is None:
        pytest.skip("OpenSSH's server is not installed (Debian: apt-get install openssh-server)")
    with ssh_server(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if counted:
        terminalreporter.write_line(f"real servers: {dict(sorted(counted.items()))}")
