"""A change with a bug in it, and the finding that says so."""

from __future__ import annotations

CODE = "return sum(items) / len(items)"
DIVISION = {
    "file": "app.py",
    "line": 2,
    "problem": "An empty list divides by zero.",
    "severity": "major",
    "title": "Division by zero",
    "code": CODE,
    "type": "bug",
}


BUGGY = f"def mean(items):\n    {CODE}\n"
