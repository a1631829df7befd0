"""`python -m dtlns` is the same as `dtlns`."""

from dtlns.cli import main

if __name__ == "__main__":
    main()
