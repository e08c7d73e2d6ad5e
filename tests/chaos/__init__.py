"""The chaos run: a stack of real processes is hurt by a plan drawn from a seed, and eight promises are then proven.

`python -m tests.chaos` runs it, or `make chaos`; pytest does not collect it. The checker's own tests are in
`tests/unit/chaos`.
"""
