"""Imports now what the app's functions import when they run: a component has no files to import from."""

from __future__ import annotations

import ast
import importlib
import os
from typing import Iterable, Iterator

_NO_SOURCE = {"__pycache__", "node_modules", "venv", "tests"}


def preload(folder: str, modules: Iterable[str]) -> None:
    """Imports modules, and those that functions in the folder import. What is not there fails where it is imported."""
    wanted = set(modules)
    for path in _sources(folder):
        with open(path, "rb") as file:
            try:
                wanted.update(_inner_imports(ast.parse(file.read())))
            except SyntaxError:
                # A file that nobody has imported.
                continue
    for module in sorted(wanted):
        try:
            importlib.import_module(module)
        except Exception:
            continue


def _sources(folder: str) -> Iterator[str]:
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if name.endswith(".py"):
            yield path
        elif os.path.isdir(path) and name not in _NO_SOURCE and not name.startswith("."):
            # Not a virtual environment, which holds no source of the app's.
            if not os.path.exists(os.path.join(path, "pyvenv.cfg")):
                yield from _sources(path)


def _inner_imports(tree: ast.AST) -> Iterator[str]:
    for function in ast.walk(tree):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
