def greeting(name):
    # There are no files to import from when a function runs; the build sees to it.
    import textwrap

    return textwrap.shorten(f"Hello {name}!", 100)
