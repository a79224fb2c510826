"""What a suite may be called: files, pages and experiments are called by the same name."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

LONGEST = 100
"""Characters; in UTF-8 a file's name has room for 255 bytes, and a suffix follows."""


def file_name(name: str) -> str:
    """Returns the name as given, if a file in a folder can be called by it, and by nothing else.

    Raises:
        ValueError: it would leave the folder, hide the file, or be no name at all.
    """
    fits = len(name) <= LONGEST and len(name.encode(errors="replace")) <= 2 * LONGEST
    if not fits or not re.fullmatch(r"\w([\w .,+()=@-]*[\w)])?", name):
        shown = name if len(name) <= LONGEST else f"{name[:20]}…"
        raise ValueError(
            f"{shown!r} cannot name files: use up to {LONGEST} letters, digits, spaces and . , + ( ) = @ _ -, "
            'beginning and ending with a letter or digit, such as name = "my-suite"'
        )
    return name


SuiteName = Annotated[str, AfterValidator(file_name)]
