"""Convert a kernel's script to a notebook of short cells, for Kaggle's Copy & Edit."""

import ast
import json
from typing import Any


def notebook(name: str, head: str, main: str) -> str:
    """The notebook as JSON: a text, `head` as a hidden cell, then one cell for each part of `main`.

    head: code that unpacks dfd. main: text of a main.py.
    """
    about = ast.get_docstring(ast.parse(main)) or ""
    text = f"# dfd: {name}\n\n{about}\n\nChange SETTINGS below, then run all cells. The first cell unpacks dfd."
    hidden = {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}
    cells = [_cell("markdown", text, {}), _cell("code", head, hidden)]
    cells += [_cell("code", part, {}) for part in parts(main)]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about_it = {"kernelspec": python, "language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": about_it, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


def parts(main: str) -> list[str]:
    """Split a main.py without its docstring: imports as one part, each other statement, and the call of main().

    >>> parts("import sys\\nimport json\\n\\nA = 1\\n\\nif __name__ == '__main__':\\n    print(A)\\n")
    ['import sys\\nimport json', 'A = 1', 'print(A)']
    """
    lines, found, imports = main.splitlines(), [], []
    for node in ast.parse(main).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports += lines[node.lineno - 1 : node.end_lineno]
        elif isinstance(node, ast.If):
            found.append("\n".join(ast.unparse(inner) for inner in node.body))
        elif not isinstance(node, ast.Expr):
            found.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    return ["\n".join(imports), *found]


def _cell(kind: str, source: str, metadata: dict[str, Any]) -> dict[str, Any]:
    code: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    return {"cell_type": kind, "metadata": metadata, "source": source.strip(), **code}
