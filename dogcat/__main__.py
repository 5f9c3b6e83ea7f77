"""`python -m dogcat` is the console command `dogcat`."""

from dogcat.console import main

main()
