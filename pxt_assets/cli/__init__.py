"""The command `pxt-assets`. May import every room below."""
