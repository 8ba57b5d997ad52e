"""``python -m doconv_cli`` is the ``doconv`` command."""

from doconv_cli.main import main

main()
