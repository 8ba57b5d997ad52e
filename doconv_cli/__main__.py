"""``doconv``, installed or as ``python -m doconv_cli``."""

from __future__ import annotations

import sys

_NEEDED = ("typer", "click", "rich")


def main() -> None:
    """Run the command; without what it is written with, say in one line what to install."""
    try:
        from doconv_cli.main import run
    except ModuleNotFoundError as fault:
        missing = (fault.name or "").partition(".")[0]
        if missing not in _NEEDED:
            raise
        sys.exit(f"error: the doconv command needs {missing}: pip install 'doconv-layers[cli]'")
    run()


if __name__ == "__main__":
    main()
