"""Locks on files, on disks that have them. Some network file systems, such as Lustre without `-o flock`, have none."""

import errno
import fcntl

_NONE = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def lock(file: int, wait: bool = True) -> bool:
    """Lock an open file, by its descriptor, for this process alone; return whether the file's disk has locks.

    The lock ends when the file is closed everywhere. Raises BlockingIOError if another process has it, unless `wait`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _NONE:
            return False
        raise
    return True
