"""The servers, each started for the tests and ended with them, and looked into by another way than the connectors'.

Here belong starting, ending, what a person does there by hand, and what is really held: read from the servers' own
databases and files, not over the interface that is tested.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.real_servers import installing

LOOPBACK = "127.0.0.1"
DOMAIN = "lists.example.com"
USER = "restadmin"


def free_port() -> int:
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        return int(free.getsockname()[1])


@contextmanager
def process(
    command: list[str | Path], folder: Path, environment: dict[str, str] | None = None, runs_in: Path | None = None
) -> Iterator[Path]:
    """A program in a session of its own, ended with all it started; yields its log."""
    log = folder / "log.txt"
    with log.open("w") as file:
        started = subprocess.Popen(
            list(map(str, command)),
            cwd=runs_in or folder,
            env=os.environ | (environment or {}),
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield log
        finally:
            for ending in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(started.pid, ending)
                    started.wait(10)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def wait_until(answers: Callable[[], bool], log: Path, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if answers():
                return
        except (httpx.HTTPError, OSError):
            pass
        time.sleep(0.2)
    raise TimeoutError(f"the server does not answer; its last lines:\n{log.read_text()[-2000:]}")


class GhostSite:
    """A site with an owner, who can do by hand what a person would."""

    def __init__(self, url: str, database: Path) -> None:
        self.url = url
        self.database = database
        self.staff = httpx.Client(base_url=f"{url}/ghost/api/admin/", headers={"Origin": url}, timeout=60)
        password = secrets.token_hex(16)
        owner = {"name": "Owner", "email": "owner@example.com", "password": password, "blogTitle": "Site"}
        self._do("POST", "authentication/setup/", {"setup": [owner]})
        self._do("POST", "session/", {"username": owner["email"], "password": password})
        made = self._do("POST", "integrations/?include=api_keys", {"integrations": [{"name": "Personae"}]})
        keys = made["integrations"][0]["api_keys"]
        self.key = next(str(one["secret"]) for one in keys if one["type"] == "admin")

    def _do(self, method: str, path: str, body: object = None) -> Any:
        answer = self.staff.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.headers.get("content-type", "").startswith("application/json") else None

    def sign_up(self, address: str, *labels: str) -> None:
        self._do("POST", "members/", {"members": [{"email": address, "labels": [{"name": one} for one in labels]}]})

    def unsubscribe(self, address: str) -> None:
        (member,) = self._rows("select id from members where lower(email) = ?", address)
        self._do("PUT", f"members/{member[0]}/", {"members": [{"newsletters": []}]})

    def change(self, address: str, name: str, *labels: str) -> None:
        (member,) = self._rows("select id from members where lower(email) = ?", address)
        changed = {"name": name, "labels": [{"name": one} for one in labels]}
        self._do("PUT", f"members/{member[0]}/", {"members": [changed]})

    def unsubscribe_in_bulk(self, label: str) -> None:
        self._do("PUT", f"members/bulk/?filter=label:{label}", {"bulk": {"action": "unsubscribe", "meta": {}}})

    def _rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()

    def held(self, label: str) -> dict[str, dict[str, Any]]:
        """Who carries a label, with name, note and all their labels; a label that is there twice is one too many."""
        rows = self._rows(
            "select m.id, lower(m.email), m.name, m.note, (select count(*) from members_newsletters as n "
            "where n.member_id = m.id) from members as m "
            "where m.id in (select ml.member_id from members_labels as ml inner join labels as l on l.id = ml.label_id "
            "where l.name = ?)",
            label,
        )
        held = {}
        for member, address, name, note, newsletters in rows:
            labels = [
                one
                for (one,) in self._rows(
                    "select l.name from members_labels as ml inner join labels as l on l.id = ml.label_id "
                    "where ml.member_id = ? order by 1",
                    member,
                )
            ]
            held[address] = {"name": name, "note": note, "labels": labels, "newsletters": newsletters}
        assert len(held) == len(rows), "an address is there twice"
        return held

    def knows(self, address: str) -> bool:
        return bool(self._rows("select 1 from members where lower(email) = ?", address))

    def label_names(self) -> set[str]:
        return {name for (name,) in self._rows("select name from labels")}


@contextmanager
def ghost_site(folder: Path) -> Iterator[GhostSite]:
    """A fresh site with SQLite, without mail, update checks and telemetry."""
    node, package = installing.ghost()
    package /= "package"
    shutil.copytree(package / "content", folder / "content", symlinks=True)
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    database = folder / "ghost.db"
    settings = {
        "url": url,
        "server__host": LOOPBACK,
        "server__port": port,
        "database__client": "sqlite3",
        "database__connection__filename": database,
        "database__useNullAsDefault": "true",
        "paths__contentPath": folder / "content",
        "mail__transport": "stub",
        "logging__level": "error",
        "logging__transports": '["stdout"]',
        "privacy__useTinfoil": "true",
        "privacy__useUpdateCheck": "false",
        "security__staffDeviceVerification": "false",
        "NODE_ENV": "production",
    }
    environment = {name: str(value) for name, value in settings.items()}
    # It must run in its own folder, and takes its settings from the environment as well.
    with process([node, "index.js"], folder, environment, runs_in=package) as log:
        wait_until(lambda: httpx.get(f"{url}/ghost/api/admin/site/", timeout=5).status_code == 200, log)
        yield GhostSite(url, database)


class MailmanServer:
    """A server with one domain, where somebody can leave a list."""

    def __init__(self, url: str, password: str, database: Path) -> None:
        self.url, self.password, self.database = url, password, database
        self.operator = httpx.Client(base_url=url, auth=(USER, password), timeout=60)
        self._do("POST", "domains", {"mail_host": DOMAIN})

    def _do(self, method: str, path: str, form: dict[str, str] | None = None) -> None:
        self.operator.request(method, path, data=form).raise_for_status()

    def leave(self, list_name: str, address: str) -> None:
        self._do("DELETE", f"lists/{list_name}.{DOMAIN}/member/{address}")

    def join(self, list_name: str, address: str) -> None:
        approved = dict.fromkeys(("pre_verified", "pre_confirmed", "pre_approved"), "true")
        self._do("POST", "members", {"list_id": f"{list_name}.{DOMAIN}", "subscriber": address, **approved})

    def name(self, address: str, name: str) -> None:
        self._do("PATCH", f"addresses/{address}", {"display_name": name})

    def make_account(self, address: str, name: str, joins: str = "") -> None:
        """Somebody has an account with a name of its own, and may be on a list by it."""
        self._do("POST", "users", {"email": address, "display_name": name})
        user = self.operator.get(f"addresses/{address}/user").raise_for_status().json()["user_id"]
        self.name(address, "")
        if joins:
            self._do("POST", f"addresses/{address}/verify")
            self._do("POST", f"users/{user}/preferred_address", {"email": address})
            approved = dict.fromkeys(("pre_verified", "pre_confirmed", "pre_approved"), "true")
            self._do("POST", "lists", {"fqdn_listname": f"{joins}@{DOMAIN}"})
            self._do("POST", "members", {"list_id": f"{joins}.{DOMAIN}", "subscriber": str(user), **approved})

    def ban(self, address: str) -> None:
        self._do("POST", "bans", {"email": address})

    def _rows(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(sql, values).fetchall()

    def held(self, list_name: str) -> dict[str, dict[str, Any]]:
        """A list's members with their display names."""
        rows = self._rows(
            "select a.email, a.display_name from member as m left join user as u on u.id = m.user_id "
            "inner join address as a on a.id = coalesce(m.address_id, u._preferred_address_id) "
            "where m.list_id = ? and m.role = ?",
            f"{list_name}.{DOMAIN}",
            self._member_role(),
        )
        assert len({address for address, _ in rows}) == len(rows)
        return {address: {"name": name or None} for address, name in rows}

    def _member_role(self) -> Any:
        return 1  # MemberRole.member

    def knows(self, address: str) -> bool:
        return bool(self._rows("select 1 from address where email = ?", address))

    def settings(self, list_name: str) -> dict[str, Any]:
        answer = self.operator.get(f"lists/{list_name}.{DOMAIN}/config")
        return dict(answer.raise_for_status().json())

    def queued(self) -> int:
        """Messages that wait to be sent: none of the runners that send runs."""
        return sum(1 for _ in (self.database.parent / "var" / "queue").rglob("*.pck"))

    def people(self) -> int:
        return int(self._rows("select count(*) from user")[0][0])


@contextmanager
def mailman_server(folder: Path) -> Iterator[MailmanServer]:
    """A server with SQLite and the REST runner alone: it takes and sends no mail."""
    programs = installing.mailman()
    port, password = free_port(), secrets.token_hex(16)
    database = folder / "mailman.db"
    settings = {
        "mailman": {"layout": "here", "site_owner": "owner@example.com"},
        "paths.here": {"var_dir": folder / "var"},
        "database": {"class": "mailman.database.sqlite.SQLiteDatabase", "url": f"sqlite:///{database}"},
        "webservice": {"hostname": LOOPBACK, "port": port, "admin_user": USER, "admin_pass": password, "workers": 1},
        "mta": {"incoming": "mailman.mta.null.NullMTA"},
    }
    configuration = folder / "mailman.cfg"
    configuration.write_text(
        "\n".join(
            f"[{name}]\n" + "\n".join(f"{key}: {value}" for key, value in one.items()) for name, one in settings.items()
        )
    )
    with process([programs / "runner", "-C", configuration, "--runner=rest:0:1"], folder) as log:
        url = f"http://{LOOPBACK}:{port}/3.1/"

        def answers() -> bool:
            return httpx.get(f"{url}system/versions", auth=(USER, password), timeout=5).status_code == 200

        wait_until(answers, log)
        yield MailmanServer(url, password, database)


def sshd_program() -> str | None:
    """OpenSSH's server by its absolute path, which it insists on."""
    return shutil.which("sshd", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin")


class SshServer:
    """OpenSSH on a port of its own, with a host key and one user's key made for it."""

    def __init__(self, port: int, user: str, host_key: str, user_key: str, folder: Path) -> None:
        self.port, self.user, self.host_key, self.user_key, self.folder = port, user, host_key, user_key, folder


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server for SFTP alone."""
    import asyncssh

    program = sshd_program()
    assert program is not None
    host, user = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    host_key, authorized = folder / "host_key", folder / "authorized_keys"
    host_key.write_text(host.export_private_key().decode())
    host_key.chmod(0o600)
    authorized.write_text(user.export_public_key().decode())
    authorized.chmod(0o600)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # a server that root starts gives its rights up there
    port = free_port()
    configuration = folder / "sshd_config"
    configuration.write_text(
        f"Port {port}\nListenAddress {LOOPBACK}\nHostKey {host_key}\nAuthorizedKeysFile {authorized}\n"
        f"PidFile {folder / 'pid'}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\nStrictModes no\nUsePAM no\nSubsystem sftp internal-sftp\n"
        "ForceCommand internal-sftp\nLogLevel VERBOSE\n"
    )
    delivered = folder / "delivered"
    delivered.mkdir()
    # -D stays in the foreground; -E is where it writes what it does.
    with process([program, "-D", "-f", configuration, "-E", folder / "sshd.log"], folder) as log:

        def answers() -> bool:
            with socket.create_connection((LOOPBACK, port), timeout=2) as connection:
                return connection.recv(8).startswith(b"SSH-")

        wait_until(answers, log, 20)
        name = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        yield SshServer(port, name, host.export_public_key().decode(), user.export_private_key().decode(), delivered)
