"""`python -m mergelib.reproduce`."""

from .notebooks import main

if __name__ == "__main__":
    main()
