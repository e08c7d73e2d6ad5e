"""The chaos run: real processes are disrupted by a plan from a seed; then eight promises are checked.

`python -m tests.chaos` or `make chaos` starts it; pytest does not collect it. The tests of the checks are in
`tests/unit/chaos`.
"""
