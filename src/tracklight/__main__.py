"""``python -m tracklight`` is the command ``tracklight``."""

from tracklight.cli.main import main

main()
