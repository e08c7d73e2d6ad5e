"""The names that the version before does not know, with the reason why that is safe.

A key is a name as `row_names.names_of` makes it. A value says what happens when the version before writes the row
again: how the field survives, or why nothing breaks without it.
"""

from collections.abc import Mapping

NEWER: Mapping[str, str] = {
    "key cancelled": "A cancel that came before its row. It has an expiry. If the version before writes the row, it does "
    "not read the note, and the job runs as it always did there; a producer or a worker of this version reads it.",
}
