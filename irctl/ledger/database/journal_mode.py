"""Which journal mode is safe where the ledger lies: write-ahead logging needs shared memory, so a local file system.

On network and unknown file systems SQLite's rollback journal is slower and safe.
"""

from __future__ import annotations

import os
from pathlib import Path

from irctl.errors import ConfigError

LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "f2fs"})
MOUNTINFO = Path("/proc/self/mountinfo")


def journal_mode(path: Path) -> str:
    """'wal' or 'delete' for a database at this path; IRCTL_LEDGER_JOURNAL overrides."""
    if given := os.environ.get("IRCTL_LEDGER_JOURNAL", "").lower():
        if given not in ("wal", "delete"):
            raise ConfigError(f"IRCTL_LEDGER_JOURNAL: expected wal or delete, found '{given}'")
        return given
    return "wal" if file_system(path) in LOCAL else "delete"


def file_system(path: Path) -> str:
    """Type of the file system that holds the path ('ext4', 'nfs4'), or '' if that cannot be told."""
    try:
        text = MOUNTINFO.read_text(errors="surrogateescape")
    except OSError:
        return ""
    return _type_at(os.path.realpath(path), text)


def _type_at(path: str, mountinfo: str) -> str:
    """The type of the longest mount point above path; of several at one place the last, which hides the others."""
    best, file_system = "", ""
    for line in mountinfo.splitlines():
        mount, _, source = line.partition(" - ")
        fields, types = mount.split(" "), source.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        point = fields[4].encode("latin-1", "surrogateescape").decode("unicode_escape")  # blanks are written \040
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, file_system = point, types[0]
    return file_system
