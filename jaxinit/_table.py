"""Plain text tables."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells in aligned columns, the first row underlined.

    Columns in which every row but the first is empty are left out.
    """
    used = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    widths = [max(len(row[i]) for row in rows) for i in used]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[i].ljust(width) for i, width in zip(used, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in widths))
    return "\n".join(lines)
