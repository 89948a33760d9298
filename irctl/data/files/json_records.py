"""Objects of a JSON array or of JSON lines, one at a time: such files reach gigabytes."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irctl.data.files.lines import line_error, open_unpacked, read_json_lines

CHUNK = 1 << 20
BETWEEN = re.compile(r"[\s,\[\]]*")


def read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line that it begins on, object). Raises DataError with file:line for anything else."""
    with open_unpacked(path) as file:
        start = file.read(64).lstrip()
    if not start.startswith(b"["):
        yield from read_json_lines(path)
        return
    parse, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")()
    buffer, place, line = "", 0, 1
    with open_unpacked(path) as file:
        while chunk := file.read(CHUNK):
            try:
                buffer, place = buffer[place:] + text.decode(chunk), 0
            except UnicodeDecodeError as e:
                raise line_error(path, line, "UTF-8", f"byte 0x{e.object[e.start]:02x}") from None
            while True:
                gap = BETWEEN.match(buffer, place)
                assert gap is not None
                line += gap[0].count("\n")
                place = gap.end()
                try:
                    record, end = parse.raw_decode(buffer, place)
                except ValueError:
                    break  # the record goes on in the next chunk
                if not isinstance(record, dict):
                    raise line_error(path, line, "an object", record)
                yield line, record
                line += buffer.count("\n", place, end)
                place = end
    if place < len(buffer):
        raise line_error(path, line, "an object or the end of the array", buffer[place : place + 40])
