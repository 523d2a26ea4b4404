"""The strict world that every test runs in."""

import os

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax

jax.config.update("jax_numpy_dtype_promotion", "strict")

collect_ignore = ["oracles"]  # scripts that made constants, with needs of their own
