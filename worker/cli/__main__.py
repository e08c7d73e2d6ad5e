"""`python -m worker.cli` runs `kilnhand`."""

from worker.cli.main import main

if __name__ == "__main__":
    main()
