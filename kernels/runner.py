"""Runs a notebook in a rehearsal as Kaggle does: prints what its cells print, and keeps it as __notebook__.ipynb."""

import sys
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


class Client(NotebookClient):
    """Prints the output of cells."""

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: Any) -> Any:
        """Handle one message of the kernel."""
        print(msg["content"].get("text", ""), end="", flush=True)
        return super().output(outs, msg, display_id, cell_index)


if __name__ == "__main__":
    book = nbformat.read(sys.argv[1], 4)
    try:
        Client(book, timeout=None).execute()
    except CellExecutionError as error:
        raise SystemExit(f"{error.ename}: {error.evalue}") from None
    finally:
        nbformat.write(book, "__notebook__.ipynb")
