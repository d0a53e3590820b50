"""``python -m vi_toolkit`` is ``vi-toolkit``."""

from vi_toolkit.cli import main

if __name__ == "__main__":
    main()
