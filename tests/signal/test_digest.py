"""The digest of a program tells apart what computes another thing, and nothing else."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.signal.studies import model_study as real
from jaxinit.signal.studies.digest import digest_of

X = np.ones(3, np.float32)


def digest(function, *data):
    return digest_of(jax.make_jaxpr(function)(*data), data)


def scaled_by(table):
    inner = jax.jit(lambda x: x * table)
    return lambda x: jax.lax.scan(lambda x, _: (inner(x), None), x, length=2)[0]


def test_the_same_again():
    one, other = (digest(scaled_by(np.arange(3, dtype=np.float32)), X) for _ in range(2))
    assert one == other
    assert len(one) == 16
    assert digest(jnp.sin, X) == digest(jnp.sin, X.copy())


def noisy(x, seed):
    return x + jax.random.normal(seed, (), x.dtype)


OTHERS = {
    "operation": lambda: (digest(jnp.sin, X), digest(jnp.cos, X)),
    "shape": lambda: (digest(jnp.sin, X), digest(jnp.sin, X[:2])),
    "data": lambda: (digest(jnp.sin, X), digest(jnp.sin, 2 * X)),
    "constant inside": lambda: (digest(scaled_by(X), X), digest(scaled_by(2 * X), X)),
    "key": lambda: [digest(noisy, X, jax.random.key(seed)) for seed in (1, 2)],
}


@pytest.mark.parametrize("what", OTHERS)
def test_tells_apart(what):
    one, other = OTHERS[what]()
    assert one != other


def model_digest(apply_fn, params):
    made = real.prepare(
        apply_fn,
        params,
        (np.ones((2, 3), np.float32),),
        "lecun_normal",
        seeds=1,
        seed=0,
        name="m",
    )
    return made.start.settings["digest"]


def test_of_models():
    def with_backward(factor):
        @jax.custom_vjp
        def f(x):
            return x

        f.defvjp(lambda x: (x, None), lambda _, g: (factor * g,))
        return lambda p, x: f(x @ p["w"])

    w = jax.ShapeDtypeStruct((3, 3), "float32")
    table = np.eye(3, dtype=np.int32)
    base = model_digest(with_backward(2.0), {"w": w})
    assert model_digest(with_backward(2.0), {"w": w}) == base
    assert model_digest(with_backward(3.0), {"w": w}) != base

    def renamed(p, x):
        return x @ next(iter(p.values()))

    assert model_digest(renamed, {"w": w}) != model_digest(renamed, {"v": w})

    def looked_up(p, x):
        return x[:, p["rows"]] @ p["w"]

    one, other = ({"w": w, "rows": rows} for rows in (table[0], table[1]))
    assert model_digest(looked_up, one) != model_digest(looked_up, other)


CODE = """
import jax, jax.numpy as jnp
from jaxinit.signal.studies.digest import digest_of
def there(x):
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct((3,), "float32"), x)
closed = jax.make_jaxpr(there)(jnp.ones(3, "float32"))
print(digest_of(closed, []))
print("0x" in str(closed))
"""


def test_the_same_in_another_process(capsys):
    args = [sys.executable, "-c", CODE]
    there = subprocess.run(args, capture_output=True, text=True, check=True).stdout
    exec(CODE, {})
    assert capsys.readouterr().out == there
    assert there.split()[1] == "True"
