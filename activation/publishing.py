"""How finished files become visible: a whole folder at once, or not at all.

Here belongs the swap of a published week. What the files contain does not belong here.

A published week is a symbolic link to a folder that is never written again::

    root/2026-11-09  ─▶ root/.versions/2026-11-09-4f1c09ab52de7731
    root/latest      ─▶ root/.versions/2026-11-09-4f1c09ab52de7731

Whoever reads resolves the link once and then reads one version to its end, whatever is published meanwhile.
"""

import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

LATEST = "latest"
VERSIONS = ".versions"
WEEK_PATTERN = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_UNFINISHED = ".unfinished-"
_READ_BYTES = 1 << 20


def publish_folder(
    build: Callable[[Path], None], root: Path, week: str, also_latest: bool, keep_unlinked: int = 2
) -> Path:
    """Publish the files of one week in one step.

    A process that dies at any moment leaves the links where they were, or moved to a complete version; what it had
    begun is cleared away by the next publication. Publishing the same content again changes nothing. One publication
    runs at a time per root; a second one waits.

    Args:
        build: Writes the week's files into the empty folder it is given. Their content alone decides the version.
        root: The folder of all published weeks; created if it does not exist.
        week: The Monday that names the week, `YYYY-MM-DD`.
        also_latest: Whether `latest` shall follow. It goes to the greatest week present, so publishing an older week
            again never moves it backwards.
        keep_unlinked: How many versions that no link leads to any more are kept, the most recently replaced first,
            for readers that have resolved a link and not finished.

    Returns:
        The version folder that holds the files.

    Raises:
        ValueError: `week` is not a date, or `build` wrote no file, or wrote something other than files and folders.
    """
    _check_week(week)
    versions = root / VERSIONS
    versions.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(versions):
        _clear_unfinished(root)
        version = _build_version(build, versions, week)
        _point(root / week, version)
        if also_latest:
            greatest = max(link.name for link in root.iterdir() if _names_week(link.name))
            _point(root / LATEST, (root / greatest).resolve(strict=True))
        _remove_unlinked(root, keep_unlinked)
    return version


def change_folders(root: Path, change: Callable[[Path, Path], None]) -> None:
    """Let every published week lead to a changed version, and remove every other version.

    For the one case in which what was published may not stand: somebody is erased. A process that dies leaves each link
    at a complete version; doing it again does the rest.

    Args:
        root: A folder of published weeks.
        change: Is given each version that a link leads to and an empty folder to write the changed files into.
    """
    weeks = sorted(link.name for link in root.iterdir() if link.is_symlink() and _names_week(link.name))
    has_latest = (root / LATEST).is_symlink()
    for week in weeks:
        version = (root / week).resolve(strict=True)

        def build(draft: Path, version: Path = version) -> None:
            change(version, draft)

        publish_folder(build, root, week, also_latest=has_latest, keep_unlinked=0)
    if not weeks and (root / VERSIONS).is_dir():
        with _one_at_a_time(root / VERSIONS):
            _clear_unfinished(root)
            _remove_unlinked(root, 0)


def _check_week(week: str) -> None:
    if not _names_week(week):
        raise ValueError(f"A week is named by its Monday, YYYY-MM-DD, not {week!r}")


def _names_week(name: str) -> bool:
    if not WEEK_PATTERN.fullmatch(name):
        return False
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


@contextmanager
def _one_at_a_time(versions: Path) -> Iterator[None]:
    """Hold the root's lock; the system lets go of it when the process ends, however it ends."""
    with (versions / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_version(build: Callable[[Path], None], versions: Path, week: str) -> Path:
    draft = versions / f"{_UNFINISHED}{week}"
    draft.mkdir()
    try:
        build(draft)
        version = versions / f"{week}-{_content_hash(draft)}"
        if not version.exists():
            _sync_tree(draft)
            draft.rename(version)
            _sync(versions)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return version


def _content_hash(folder: Path) -> str:
    """Name a folder's content: 16 hexadecimal digits over each file's path and bytes, in order of path."""
    total = hashlib.sha256()
    files = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise ValueError(f"Only files and folders can be published, not {path.relative_to(folder)}")
        if path.is_file():
            files += 1
            total.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\n".encode())
    if files == 0:
        raise ValueError("There is nothing to publish: no file was written")
    return total.hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as lower-case hexadecimal digits, reading it in pieces."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            content.update(piece)
    return content.hexdigest()


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _point(link: Path, version: Path) -> None:
    """Let a link lead to a version, in one rename; the version it leaves is marked as replaced just now."""
    root = link.parent
    target = version.resolve().relative_to(root.resolve())
    if link.is_symlink():
        if Path(os.readlink(link)) == target:
            return
        if link.exists():
            os.utime(link)
    fresh = root / f"{_UNFINISHED}{link.name}"
    fresh.symlink_to(target, target_is_directory=True)
    os.replace(fresh, link)
    _sync(root)


def _clear_unfinished(root: Path) -> None:
    for left_over in [*root.glob(f"{_UNFINISHED}*"), *(root / VERSIONS).glob(f"{_UNFINISHED}*")]:
        if left_over.is_symlink():
            left_over.unlink()
        else:
            shutil.rmtree(left_over)


def _remove_unlinked(root: Path, keep: int) -> None:
    linked = {link.resolve() for link in root.iterdir() if link.is_symlink()}
    unlinked = [path for path in (root / VERSIONS).iterdir() if path.is_dir() and path.resolve() not in linked]
    unlinked.sort(key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for version in unlinked[keep:]:
        # Renamed first, so that a version cut short while being removed is never taken for a whole one.
        doomed = version.with_name(f"{_UNFINISHED}{version.name}")
        version.rename(doomed)
        shutil.rmtree(doomed)
