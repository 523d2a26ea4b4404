"""The initializers, one family a file. All are listed in ``jaxinit`` itself."""
