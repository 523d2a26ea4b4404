"""The very weights that other libraries draw from a seed, as pure functions.

Each module is one stream of one library: `torch_cpu`, `numpy_legacy`,
`numpy_generator`, `tf_stateless`. Neither library needs to be installed. The README
beside this file says what is equal in every bit, what is not, and why.
"""
