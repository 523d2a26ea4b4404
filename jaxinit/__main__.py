"""``python -m jaxinit``: the same as the command ``jaxinit``."""

from jaxinit.cli import run

if __name__ == "__main__":
    run()
