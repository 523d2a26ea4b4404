"""Tables and plots of studies."""
