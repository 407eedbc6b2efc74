#!/bin/sh
# Any other CI system, or none: reviews what HEAD adds to a base branch, with Ollama on this machine.
#
#     sh review.sh origin/main
#
# Run it in the clone. Nothing of the change is executed, here or by kilo-review; keep this script, too, where a change
# cannot edit it. Set MODEL and WINDOW, LEDGER to a folder that stays from run to run, and REPORTS to one outside
# of the clone: a change may bring files, and links, of the names that reports have.
set -eu

base=${1:?name the base, such as origin/main}
model=${MODEL:-qwen3-coder:30b}
window=${WINDOW:-16384}
ledger=${LEDGER:-${XDG_CACHE_HOME:-$HOME/.cache}/kilo-review/ci}
reports=${REPORTS:-$(mktemp -d)}
url=http://127.0.0.1:11434

# Start the server, if none is running; one that we started ends with us.
server=
trap '[ -z "$server" ] || kill "$server"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
if ! curl -fsS "$url/api/version" >/dev/null 2>&1; then
    mkdir -p "$ledger"
    OLLAMA_HOST=127.0.0.1:11434 OLLAMA_NO_CLOUD=1 ollama serve >"$ledger/ollama.log" 2>&1 &
    server=$!
fi
curl -fsS --retry 60 --retry-delay 2 --retry-connrefused "$url/api/version" >/dev/null || exit 3

# Get the model if it is not here, and load it with the very window that the review asks for: another one would load it anew.
ollama show "$model" >/dev/null 2>&1 || ollama pull "$model" || exit 3
curl -fsS "$url/api/generate" \
    -d "{\"model\": \"$model\", \"options\": {\"num_ctx\": $window}, \"keep_alive\": \"30m\"}" >/dev/null || exit 3

echo "reports: $reports" >&2
# Exit codes: 0 passes, 1 blocking findings, 2 wrong usage, 3 not fully reviewed (--on-unavailable allow makes it 0).
kilo-review ci \
    --base "$base" \
    --wait-for-server 300 --max-seconds 2400 \
    --provider ollama --model "$model" --option "num_ctx=$window" \
    --jobs auto \
    --ledger "$ledger" \
    --format text --output "markdown=$reports/kilo-review.md" --output "sarif=$reports/kilo-review.sarif"
