"""``python -m leukfeat …`` is ``leukfeat …``."""

from leukfeat.cli import main

if __name__ == "__main__":
    main()
