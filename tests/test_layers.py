"""Import rules: a module imports only from earlier ones in ORDER; some libraries have a single importer."""

import ast
from pathlib import Path

import pytest

import dfd

ROOT = Path(dfd.__file__).parent
ORDER = (
    "torchvision_ops", "types", "errors", "config", "versions", "files", "tables", "memory", "cores", "videos", "faces",
    "clips", "sample", "models", "scoring", "inference", "training", "report", "node", "queue", "cluster", "api", "cli",
    "__main__",
)  # fmt: skip
ONE_PLACE = {
    "decord": "videos/",
    "av": "videos/",
    "facenet_pytorch": "faces/detect.py",
    "timm": "models/",
    "ray": "cluster.py",
    "fsspec": "videos/remote.py",
}
SCORING_MAY_IMPORT = {"numpy", "pandas", "scipy", "sklearn", "pydantic", "dfd"}
MODULES = sorted(ROOT.rglob("*.py"))


def imports(path):
    """Names of the modules imported by a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "dfd":
                yield from (f"dfd.{alias.name}" for alias in node.names)


def position(name):
    return ORDER.index(name.removesuffix(".py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_follow_the_order_and_restricted_ones_stay_in_place(path):
    place = path.relative_to(ROOT)
    for name in imports(path):
        top, *rest = name.split(".")
        assert top not in {"tests", "kernels", "benchmarks"}, name
        if top in ONE_PLACE:
            assert place.as_posix().startswith(ONE_PLACE[top]), f"{name} may be imported in dfd/{ONE_PLACE[top]} only"
        if top == "dfd" and rest and rest[0] in ORDER and place.parts[0] != "__init__.py":
            assert position(rest[0]) <= position(place.parts[0]), f"{place} comes before {name} and may not import it"


@pytest.mark.parametrize("path", sorted((ROOT / "scoring").glob("*.py")), ids=lambda p: p.name)
def test_scoring_is_numpy_scipy_pandas_and_scikit_learn(path):
    import sys

    for name in imports(path):
        top = name.split(".")[0]
        assert top in SCORING_MAY_IMPORT or top in sys.stdlib_module_names, name


def test_every_folder_is_in_the_order():
    assert {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in MODULES} - {"__init__"} <= set(ORDER)


def test_the_library_contains_no_kaggle_path():
    for path in MODULES:
        assert "/kaggle" not in path.read_text(encoding="utf-8"), path
