"""`python -m astrogate`."""

from astrogate.app.cli import main

main()
