"""Text files from elsewhere: of bounded size, in UTF-8 or with the mark of UTF-16, or refused."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from astrogate.core.errors import AstrogateError
from astrogate.core.values import path_of

#: The most bytes of a text file.
MOST = 64 * 2**20


def read_text(path: Path | str, *, most: int = MOST) -> str:
    """The text of a file, without its byte order mark.

    Raises AstrogateError for what is no file, is larger than `most` bytes, or is in another encoding.
    """
    path = path_of(path)
    try:
        if not path.is_file():
            raise AstrogateError(f"there is no file {path}", "name a text file")
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise AstrogateError(f"{path} could not be read ({error.strerror or error})", "name a text file") from error
    if len(data) > most:
        raise AstrogateError(f"{path} is longer than {most:,} bytes", "name a shorter text file")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise AstrogateError(f"{path} is not in UTF-8", "save it in UTF-8") from error
    if "\0" in text:
        raise AstrogateError(f"{path} is no text", "name a text file")
    return text


def lines_of(path: Path | str, *, most: int = MOST) -> list[str]:
    """The lines of a text file that hold something. Raises AstrogateError as `read_text` does."""
    return lines(read_text(path, most=most))


def lines(text: str) -> list[str]:
    """The lines of a text that hold something. They end as files' lines do; other marks stay inside of them."""
    return [line.strip() for line in re.split(r"\r\n|\r|\n", text) if line.strip()]


def counted(count: int, what: str) -> str:
    """A number of things, such as "1 picture" and "3 pictures"."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def check_said(text: object, what: str, remedy: str) -> None:
    """Raise AstrogateError for what is no text, and for an empty one; `what` is what the error calls it."""
    check_text(text)
    if not str(text).strip():
        raise AstrogateError(f"{what} is empty", remedy)


def check_text(text: object) -> None:
    """Raise AstrogateError for what is no text, such as half of a character that takes two: no tokenizer reads it.

    A NUL is none either: some of them read on behind it, and others end there.
    """
    try:
        if isinstance(text, str) and "\0" not in text:
            text.encode()
            return
    except UnicodeEncodeError:
        pass
    raise AstrogateError(f"{ascii(text)[:80]} is no text", "write it in Unicode")
