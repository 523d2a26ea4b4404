"""Reading from a forward pass how each parameter is used."""
