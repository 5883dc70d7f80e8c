"""`python -m pxt_assets` is `pxt-assets`."""

from pxt_assets.cli.commands import main

if __name__ == "__main__":
    main()
