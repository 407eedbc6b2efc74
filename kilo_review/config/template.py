"""A commented `.kilo-review.toml`: every key that a repository may set."""

from __future__ import annotations

NAME = ".kilo-review.toml"
TEXT = """\
# Settings of kilo-review for everybody who works in this repository. Each person's own settings win over these.
# Where code is sent, keys and prompts cannot be set here: those are each person's own.

# provider = "auto"            # auto, ollama, lmstudio, openai, embedded
# model = "qwen2.5-coder:7b"   # the server's name for the model
# fail_on = "critical"         # least severity that blocks: critical, major, minor, never
# verify = "blocking"          # findings that the model must confirm when asked again: off, blocking, all
# verify_model = "qwen3:8b"    # another model that confirms them
# baseline = ".kilo-review/baseline.json"  # accepted findings
# language = "fr"              # of titles and messages
# rules_tokens = 1000          # for the project's rules (.kilo-review/rules, REVIEW.md, AGENTS.md, ...); 0: none
# on_unavailable = "allow"     # if not everything could be reviewed: allow or block
# on_nothing = "fail"          # if all of a change is skipped: allow or fail
# max_seconds = 20             # time limit for the whole run, 0 for none
# base = "origin/main"         # what the target `branch` is compared with
# exclude = ["*.sql"]          # files that are not reviewed, as in .gitignore
# cache = true                 # false: remember nothing of earlier reviews

# [categories]                 # what is wanted where; nits are off until they are asked for
# "tests/" = { off = ["performance", "minor"] }

# [options]                    # parameters of the model
# temperature = 0
# num_ctx = 8192
"""
