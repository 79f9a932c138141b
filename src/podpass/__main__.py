"""`python -m podpass` is `podpass`."""

from podpass.cli import main

main()
