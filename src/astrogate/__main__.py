"""`python -m astrogate`."""

from astrogate.app.cli.main import main

main()
