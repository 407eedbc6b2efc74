#!/bin/sh
# A throw-away repository with a staged change that holds real bugs, reviewed by the embedded engine.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM
cd "$folder"
# Nobody's configuration but the program's own defaults.
export HOME="$folder/home" XDG_CONFIG_HOME="$folder/home/config" GIT_CONFIG_NOSYSTEM=1
mkdir -p "$HOME"
git init -q -b main repository
cd repository
git config user.name Demo
git config user.email demo@example.invalid

cat > accounts.py <<'PYTHON'
import sqlite3


def balance(connection, owner):
    if not owner:
        raise ValueError("an owner is needed")
    query = "SELECT sum(amount) FROM entries WHERE owner = ?"
    return connection.execute(query, (owner,)).fetchone()[0] or 0


def average(amounts):
    if not amounts:
        return 0
    return sum(amounts) / len(amounts)
PYTHON
git add -A
git commit -qm "Accounts"
cat > accounts.py <<'PYTHON'
import sqlite3


def balance(connection, owner):
    query = "SELECT sum(amount) FROM entries WHERE owner = '" + owner + "'"
    return connection.execute(query).fetchone()[0] or 0


def average(amounts):
    return sum(amounts) / len(amounts)
PYTHON
git add -A

echo "== The staged change: an SQL injection, a lost check, a division by zero"
git --no-pager diff --cached --no-color | tail -n +5
review() {
    status=0
    kilo-review --provider embedded "$@" || status=$?
    # 1 means that a finding blocks: with this model, as likely wrong as right.
    case $status in 0 | 1) ;; *) echo "the review failed with exit code $status" >&2; exit "$status" ;; esac
    echo "(exit code $status)"
}
echo
echo "== kilo-review, as text"
review --verbose
echo
echo "== kilo-review --format json"
review --quiet --format json
cat <<'TEXT'

This was a real review: git, a real llama.cpp server in a child process, a real model, real exit codes.
But the model has 135 million parameters: it proves the wiring and reviews nothing well. Do not judge by its
findings. Models that do review, and the hardware that they need: docs/models.md.
TEXT
