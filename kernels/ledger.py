"""What was pushed and uploaded, a line each: which version holds which commit."""

import csv
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from kernels import places


@dataclass(frozen=True)
class Entry:
    """One version of a kernel or of a dataset. sha256: of what it holds."""

    name: str
    version: str
    url: str
    commit: str
    sha256: str
    date: str = ""


def record(entry: Entry) -> None:
    """Add a line, dated now unless it says when."""
    dated = asdict(entry) | {"date": entry.date or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    path = places.ledger()
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Entry)], lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(dated)


def entries(name: str) -> list[Entry]:
    """The lines about `name`, oldest first."""
    if not places.ledger().exists():
        return []
    with places.ledger().open(encoding="utf-8", newline="") as file:
        return [Entry(**row) for row in csv.DictReader(file) if row["name"] == name]
