"""What `pxt-assets gc` finds and removes: files that no run needs any more, by what code locations define."""
