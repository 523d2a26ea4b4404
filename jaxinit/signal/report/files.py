"""Files that are written whole or not at all."""

import os
import pathlib


def write_file(path: pathlib.Path, data: bytes) -> None:
    """Write a file whole or not at all, without following a link that lies in wait.

    Args:
        path: The file. Where it is a link, its target is written.
        data: What to write.
    """
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    file = part.open("xb")  # fails where something of that name is there
    try:
        with file:
            file.write(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
