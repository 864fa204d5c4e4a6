"""A machine that is short of disk, permission or memory: what to say of it."""

import errno
import os
import re

OF_THE_DISK = {
    errno.ENOSPC: "free space",
    errno.EDQUOT: "free space in your quota",
    errno.EROFS: "give a folder that can be written to",
    errno.EACCES: "give another folder, or its permission",
    errno.EPERM: "give another folder, or its permission",
}
OUT_OF_MEMORY = re.compile(r"OutOfMemoryError|MemoryError|out of memory|can't allocate memory|unable to allocate", re.I)


def remedy_of(error: BaseException | None) -> str | None:
    """What to say of a machine that is short of disk, permission or memory; None if the error is another.

    Examples
    --------
    >>> remedy_of(OSError(errno.ENOSPC, "No space left on device", "run/weights"))
    'run/weights: No space left on device; free space, then run the same command again: what was whole is kept'
    >>> remedy_of(ValueError("7"))
    """
    while error is not None:
        text = f"{type(error).__name__}: {error}"
        # Libraries in other languages report the number or the words of the system's error in a text of their own.
        numbers = [getattr(error, "errno", None), *map(int, re.findall(r"os error (\d+)", text))]
        numbers += [number for number in OF_THE_DISK if os.strerror(number) in text]
        numbers += [errno.ENOSPC] if "inline_container" in text else []  # where PyTorch could not write on
        if found := next((number for number in numbers if number in OF_THE_DISK), None):
            where = f"{name}: " if (name := getattr(error, "filename", None)) else ""
            again = "then run the same command again: what was whole is kept"
            return f"{where}{os.strerror(found)}; {OF_THE_DISK[found]}, {again}"
        if OUT_OF_MEMORY.search(text):
            return "the memory is not enough; give a smaller batch_size, resolution or net, or take another machine"
        error = error.__cause__ or error.__context__
    return None
