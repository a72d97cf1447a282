"""`python -m dfd` is `dfd`."""

from dfd.cli import main

if __name__ == "__main__":
    main()
