"""Every refusal of an initializer, by its literal text."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxinit
from jaxinit import Fans, Layout

K = jax.random.key(0)

# A call of jaxinit, as it is written, and what it must say.
ERRORS: list[tuple[str, type[Exception], str]] = [
    (
        "normal(0, (3,))",
        TypeError,
        "normal: key must be one JAX random key; got key=0. Make one with jax.random.key(0).",
    ),
    (
        "normal(jnp.zeros(2), (3,))",
        TypeError,
        "normal: key must be one JAX random key; got an array of dtype float32. Make one with jax.random.key(0).",
    ),
    (
        "normal(jax.random.split(K, 3), (3,))",
        ValueError,
        "normal: key must be one JAX random key; got an array of keys of shape (3,). For many keys use jax.vmap over this function.",
    ),
    (
        "normal(K, 3)",
        TypeError,
        "normal: shape must be a sequence of non-negative ints; got shape=3. Write it as a tuple: (3, 4).",
    ),
    (
        "normal(K, (3, -1))",
        ValueError,
        "normal: shape must be a sequence of non-negative ints; got shape=(3, -1). Write it as a tuple: (3, 4).",
    ),
    (
        "normal(K, (3, 2.5))",
        TypeError,
        "normal: shape must be a sequence of non-negative ints; got shape=(3, 2.5). Write it as a tuple: (3, 4).",
    ),
    (
        "normal(K, (3,), int)",
        TypeError,
        "normal: dtype must be one of float64, float32, bfloat16, float16, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float4_e2m1fn, complex64, complex128; got dtype=int64. Choose one of these.",
    ),
    (
        'normal(K, (3,), "float31")',
        TypeError,
        "normal: dtype must be one of float64, float32, bfloat16, float16, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float4_e2m1fn, complex64, complex128; got dtype='float31'. Choose one of these.",
    ),
    (
        'normal(K, (3,), "float8_e8m0fnu")',
        TypeError,
        "normal: dtype must be one of float64, float32, bfloat16, float16, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float4_e2m1fn, complex64, complex128; got dtype=float8_e8m0fnu. Choose one of these.",
    ),
    (
        'normal(K, (3,), "float64")',
        ValueError,
        "normal: dtype float64 needs 64-bit mode; got dtype=float64 with it off. Set JAX_ENABLE_X64=1 before JAX starts, or ask for float32.",
    ),
    (
        "normal(K, (3,), std=-1)",
        ValueError,
        "normal: std must be a finite number, at least 0; got std=-1. Give a value in that range.",
    ),
    (
        "normal(K, (3,), std=math.nan)",
        ValueError,
        "normal: std must be a finite number, at least 0; got std=nan. Give a value in that range.",
    ),
    (
        'normal(K, (3,), std="1")',
        TypeError,
        "normal: std must be a finite number, at least 0; got std='1'. Give a float.",
    ),
    (
        "normal(K, (3,), std=True)",
        TypeError,
        "normal: std must be a finite number, at least 0; got std=True. Give a float.",
    ),
    (
        "identity(K, (3, 3), gain=np.ones(3))",
        TypeError,
        "identity: gain must be a finite number; got gain of shape (3,). For many values use jax.vmap over this function.",
    ),
    (
        "normal(K, (3,), mean=1j)",
        TypeError,
        "normal: mean must be a finite number; got mean=1j. Give a float.",
    ),
    (
        'normal(K, (3,), "float8_e4m3fn", std=1e-4)',
        ValueError,
        "normal: std must be above 0.000977, which float8_e4m3fn rounds to 0; got std=0.0001. Use a wider dtype, or scale the weight up here and down in the layer.",
    ),
    (
        'normal(K, (3,), "float16", std=1e5)',
        ValueError,
        "normal: values must stay below 65504, the largest float16; got std=100000, which draws values up to 633800. Use a smaller scale or a wider dtype.",
    ),
    (
        "normal(K, (3,), std=1e-40)",
        ValueError,
        "normal: std must be above 1.18e-38, which float32 rounds to 0; got std=1e-40. Use a wider dtype, or scale the weight up here and down in the layer.",
    ),
    (
        'normal(K, (3,), out_sharding="x")',
        TypeError,
        "normal: out_sharding must be a NamedSharding, a PartitionSpec or None; got out_sharding='x'. Build one with jax.sharding.NamedSharding(mesh, spec).",
    ),
    (
        'normal(K, (3,), out_sharding=PartitionSpec("x"))',
        ValueError,
        "normal: out_sharding as a PartitionSpec needs a mesh in context; got out_sharding=PartitionSpec('x',). Enter one with jax.set_mesh(mesh), or give a NamedSharding.",
    ),
    (
        'normal(K, (3,), "float16", mean=1e5, std=0)',
        ValueError,
        "normal: values must stay below 65504, the largest float16; got the value 100000. Use a smaller scale or a wider dtype.",
    ),
    (
        'uniform(K, (3,), "float8_e4m3fn", low=1e5, high=1e5)',
        ValueError,
        "uniform: values must stay below 448, the largest float8_e4m3fn; got the value 100000. Use a smaller scale or a wider dtype.",
    ),
    (
        "normal(K, (3,), mean=1e39)",
        ValueError,
        "normal: values must stay below 3.40282e+38, the largest float32; got std=1, which draws values up to 1e+39. Use a smaller scale or a wider dtype.",
    ),
    (
        'normal(K, (3,), "bfloat16", mean=1, std=1e-4)',
        ValueError,
        "normal: values must spread over more than one bfloat16; got a spread of 0.000346 at 1, in steps of 0.00781. Use a wider dtype, or constant for one value.",
    ),
    (
        'uniform(K, (3,), "bfloat16", low=1, high=1.001)',
        ValueError,
        "uniform: values must spread over more than one bfloat16; got a spread of 0.001 at 1.0005, in steps of 0.00781. Use a wider dtype, or constant for one value.",
    ),
    (
        'truncated_normal(K, (3,), "bfloat16", low=1, high=1.001)',
        ValueError,
        "truncated_normal: values must spread over more than one bfloat16; got a spread of 0.001 at 1, in steps of 0.00781. Use a wider dtype, or constant for one value.",
    ),
    (
        "normal(K, (3,), mean=1e6, std=1e-3)",
        ValueError,
        "normal: values must spread over more than one float32; got a spread of 0.00346 at 1e+06, in steps of 0.0625. Use a wider dtype, or constant for one value.",
    ),
    (
        "kaiming_normal(K, (3, 4), a=1e200)",
        ValueError,
        "kaiming_normal: std must be above 1.18e-38, which float32 rounds to 0; got std=8.16497e-201. Use a wider dtype, or scale the weight up here and down in the layer.",
    ),
    (
        "normal(K, (8, 6), window=(2, 3))",
        TypeError,
        "normal: window must be a pair (start, shape), each with one int for every axis; got window=(2, 3). Write it as ((0, 256), (64, 64)).",
    ),
    (
        "normal(K, (8, 6), window=((0.5, 0), (2, 3)))",
        TypeError,
        "normal: window must be a pair (start, shape), each with one int for every axis; got window=((0.5, 0), (2, 3)). Write it as ((0, 256), (64, 64)).",
    ),
    (
        "normal(K, (8, 6), window=((2,), (3,)))",
        ValueError,
        "normal: window must be a pair (start, shape), each with one int for every axis; got window=((2,), (3,)) for shape=(8, 6). Write it as ((0, 256), (64, 64)).",
    ),
    (
        "normal(K, (8, 6), window=((6, 0), (3, 6)))",
        ValueError,
        "normal: window must lie inside the array; got window=((6, 0), (3, 6)) for shape=(8, 6). Give the shape of the whole array as shape.",
    ),
    (
        "normal(K, (8, 6), window=((-1, 0), (3, 6)))",
        ValueError,
        "normal: window must lie inside the array; got window=((-1, 0), (3, 6)) for shape=(8, 6). Give the shape of the whole array as shape.",
    ),
    (
        'sparse(K, (3, 4), sparsity=0.5, layout="II")',
        ValueError,
        "sparse: layout needs an output axis, along which zeros are counted; got layout='II'. Write \"IO\".",
    ),
    (
        'sparse(K, (4,), sparsity=0.5, layout="O")',
        ValueError,
        "sparse: shape needs at least 2 axes; got shape=(4,). Give (in, out).",
    ),
    (
        "uniform(K, (3,), low=1, high=0)",
        ValueError,
        "uniform: high must be no less than low; got low=1, high=0. Swap the bounds.",
    ),
    (
        "uniform(K, (3,), complex)",
        TypeError,
        "uniform: dtype must be one of float64, float32, bfloat16, float16, float8_e3m4, float8_e4m3, float8_e4m3b11fnuz, float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float4_e2m1fn; got dtype=complex128. Choose one of these.",
    ),
    (
        "truncated_normal(K, (3,), std=0)",
        ValueError,
        "truncated_normal: std must be above 0; got std=0. Use constant for one value.",
    ),
    (
        "truncated_normal(K, (3,), low=1, high=1)",
        ValueError,
        "truncated_normal: high must be above low; got low=1, high=1. Give a wider interval.",
    ),
    (
        "truncated_normal(K, (3,), low=11, high=12)",
        ValueError,
        "truncated_normal: the bounds must come within 10 std of the mean; got low=11, high=12 for mean=0, std=1. No value of that distribution lies between them.",
    ),
    (
        "xavier_normal(K, (3,))",
        ValueError,
        "xavier_normal: shape needs at least 2 axes; got shape=(3,). For a bias use zeros, or a plain distribution with an explicit std; to scale by the weight's fans pass layout=Fans(fan_in, fan_out).",
    ),
    (
        "xavier_normal(K, (3, 4), gain=-1)",
        ValueError,
        "xavier_normal: gain must be a finite number, at least 0; got gain=-1. Give a value in that range.",
    ),
    (
        'xavier_normal(K, (3, 4), layout="OIHW")',
        ValueError,
        "xavier_normal: layout needs one letter an axis; got layout='OIHW' for shape=(3, 4). Give 2 letters.",
    ),
    (
        'kaiming_normal(K, (3, 4), mode="fan-in")',
        ValueError,
        "kaiming_normal: mode must be one of fan_in, fan_out, fan_avg, fan_geo_avg; got mode='fan-in'. Did you mean 'fan_in'?",
    ),
    (
        "kaiming_normal(K, (3, 4), mode=1)",
        TypeError,
        "kaiming_normal: mode must be one of fan_in, fan_out, fan_avg, fan_geo_avg; got mode=1. Choose one of these.",
    ),
    (
        'kaiming_normal(K, (3, 4), nonlinearity="rely")',
        ValueError,
        "kaiming_normal: nonlinearity must be one of linear, identity, conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, sigmoid, tanh, relu, selu, gelu, gelu_tanh, quick_gelu, silu, mish, softplus, softsign, hard_tanh, hard_sigmoid, hard_swish, relu6, relu_squared, squareplus, sparse_plus, sparse_sigmoid, log_sigmoid, tanh_shrink, sin, cos, erf, atan, exp, gaussian, lecun_tanh, leaky_relu, prelu, elu, celu, hard_shrink, soft_shrink, swish, hardtanh, hardsigmoid, hardswish, hard_silu, hardshrink, softshrink, tanhshrink, logsigmoid, soft_sign, gelu_new, arctan, glu, bilinear, reglu, geglu, geglu_tanh, swiglu, mish_glu; got nonlinearity='rely'. Did you mean 'relu'?",
    ),
    (
        'kaiming_normal(K, (3, 4), a="0")',
        TypeError,
        "kaiming_normal: a must be a finite number; got a='0'. Give a float.",
    ),
    (
        "variance_scaling(K, (3, 4), scale=-1)",
        ValueError,
        "variance_scaling: scale must be a finite number, at least 0; got scale=-1. Give a value in that range.",
    ),
    (
        'variance_scaling(K, (3, 4), distribution="gaussian")',
        ValueError,
        "variance_scaling: distribution must be one of uniform, normal, truncated_normal; got distribution='gaussian'. Choose one of these.",
    ),
    (
        "constant(K, (2, 2), value=[1.0, 2.0, 3.0])",
        ValueError,
        "constant: value must broadcast to shape; got value of shape (3,) for shape=(2, 2). Give one number.",
    ),
    (
        'constant(K, (2, 2), value="1")',
        TypeError,
        "constant: value must be a number or an array of numbers; got value='1'. Give a float.",
    ),
    (
        'constant(K, (2, 2), "float16", value=1e6)',
        ValueError,
        "constant: value must be a finite number that float16 can hold; got value=1e+06. Use a wider dtype.",
    ),
    (
        'constant(K, (2, 2), "int8", value=0.5)',
        ValueError,
        "constant: value must be a finite number that int8 can hold; got value=0.5. Use a wider dtype.",
    ),
    (
        'constant(K, (2, 2), "int64", value=1)',
        ValueError,
        "constant: dtype int64 needs 64-bit mode; got dtype=int64 with it off. Set JAX_ENABLE_X64=1 before JAX starts, or ask for 32 bits.",
    ),
    (
        "constant(K, (2, 2), value=1j)",
        ValueError,
        "constant: value must be a finite number that float32 can hold; got value=0+1j. Use a wider dtype.",
    ),
    (
        "zeros(0, (2,))",
        TypeError,
        "zeros: key must be one JAX random key; got key=0. Make one with jax.random.key(0).",
    ),
    (
        "identity(K, (3,))",
        ValueError,
        "identity: shape needs at least 2 axes; got shape=(3,). Give (in, out).",
    ),
    (
        'identity(K, (3, 3, 3), layout="IOO")',
        ValueError,
        "identity: layout must have one I and one O, the rest one of B; got layout='IOO'. Reshape the weight to that form.",
    ),
    (
        "identity(K, (3, 3), gain=math.inf)",
        ValueError,
        "identity: gain must be a finite number; got gain=inf. Give a value in that range.",
    ),
    (
        "dirac(K, (3, 3))",
        ValueError,
        "dirac: shape must have 3, 4 or 5 axes; got shape=(3, 3). For a dense layer use identity.",
    ),
    (
        "dirac(K, (3, 4, 6), groups=4)",
        ValueError,
        "dirac: groups must divide the outputs; got groups=4 for 6 outputs. Use the layer's own.",
    ),
    (
        'dirac(K, (3, 4, 6), groups=2, layout=Layout("WIO", groups=3))',
        ValueError,
        "dirac: groups must be stated once; got groups=2 and layout.groups=3. Leave one out.",
    ),
    (
        'dirac(K, (3, 4, 6), layout="BIO")',
        ValueError,
        "dirac: layout must have one I and one O, the rest one of D, H, W; got layout='BIO'. Reshape the weight to that form.",
    ),
    (
        "orthogonal(K, (3,))",
        ValueError,
        "orthogonal: shape needs at least 2 axes; got shape=(3,). For a bias use zeros, or a plain distribution with an explicit std; to scale by the weight's fans pass layout=Fans(fan_in, fan_out).",
    ),
    (
        'orthogonal(K, (3, 4), layout="BO")',
        ValueError,
        "orthogonal: layout needs an input axis; got layout='BO'. Write \"IO\".",
    ),
    (
        'orthogonal(K, (3, 4), layout=Layout("IO", groups=2))',
        ValueError,
        "orthogonal: layout must have no groups; got groups=2. Draw one weight a group, with a B axis, and join them.",
    ),
    (
        'orthogonal(K, (3, 4), layout="BI")',
        ValueError,
        "orthogonal: layout needs an output axis; got layout='BI'. Write \"IO\".",
    ),
    (
        'orthogonal(K, (64, 64), "float4_e2m1fn")',
        ValueError,
        "orthogonal: entries of size gain / sqrt(64) must fit float4_e2m1fn; got gain=1, of which it holds 0.25 to 6. Use a wider dtype.",
    ),
    (
        "orthogonal(K, (4, 4), layout=Fans(4, 4))",
        TypeError,
        'orthogonal: layout must say what each axis is, as a string or a Layout; got layout=Fans(fan_in=4, fan_out=4). For a dense kernel write "IO".',
    ),
    (
        "delta_orthogonal(K, (3, 4))",
        ValueError,
        "delta_orthogonal: shape must have 3, 4 or 5 axes; got shape=(3, 4). For a dense layer use orthogonal.",
    ),
    (
        'delta_orthogonal(K, (3, 4, 4), layout="IIO")',
        ValueError,
        "delta_orthogonal: layout must have one I and one O, the rest one of D, H, W; got layout='IIO'. Reshape the weight to that form.",
    ),
    (
        "sparse(K, (3, 4), sparsity=1.5)",
        ValueError,
        "sparse: sparsity must be a finite number, at least 0 and at most 1; got sparsity=1.5. Give a value in that range.",
    ),
    (
        "sparse(K, (3, 4), sparsity=None)",
        TypeError,
        "sparse: sparsity must be a finite number, at least 0 and at most 1; got sparsity=None. Give a float.",
    ),
    (
        "sparse(K, (3,), sparsity=0.5)",
        ValueError,
        "sparse: shape needs at least 2 axes; got shape=(3,). For a bias use zeros, or a plain distribution with an explicit std; to scale by the weight's fans pass layout=Fans(fan_in, fan_out).",
    ),
    (
        'get("kaiming")',
        ValueError,
        "get: name must be one of bilinear, class_prior, constant, delta_orthogonal, dirac, glorot_normal, glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, he_uniform, identity, kaiming_normal, kaiming_truncated_normal, kaiming_uniform, lecun_normal, lecun_truncated_normal, lecun_uniform, log_uniform, normal, ones, orthogonal, sparse, truncated_normal, uniform, variance_scaling, xavier_normal, xavier_truncated_normal, xavier_uniform, zeros; got name='kaiming'. Did you mean 'kaiming_normal'?",
    ),
    (
        "get({})",
        TypeError,
        "get: name must be one of bilinear, class_prior, constant, delta_orthogonal, dirac, glorot_normal, glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, he_uniform, identity, kaiming_normal, kaiming_truncated_normal, kaiming_uniform, lecun_normal, lecun_truncated_normal, lecun_uniform, log_uniform, normal, ones, orthogonal, sparse, truncated_normal, uniform, variance_scaling, xavier_normal, xavier_truncated_normal, xavier_uniform, zeros; got name={}. Choose one of these.",
    ),
    (
        'from_config("normal")',
        TypeError,
        'from_config: config must be a mapping with a name; got \'normal\'. Write {"name": "kaiming_normal", "mode": "fan_out"}.',
    ),
    (
        'from_config({"std": 1})',
        TypeError,
        'from_config: config must be a mapping with a name; got {\'std\': 1}. Write {"name": "kaiming_normal", "mode": "fan_out"}.',
    ),
    (
        'from_config({"name": "normal", "stddev": 1})',
        ValueError,
        "from_config: an option of normal must be one of mean, std, window, out_sharding; got stddev=1. Did you mean 'std'?",
    ),
    (
        'from_config({"name": "constant"})',
        TypeError,
        'from_config: constant needs the option value; got options []. Add "value".',
    ),
]
NAMES = {
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "math": math,
    "K": K,
    "Fans": Fans,
    "Layout": Layout,
    "PartitionSpec": PartitionSpec,
}


@pytest.mark.parametrize(("call", "kind", "text"), ERRORS, ids=[c for c, _, _ in ERRORS])
def test_text(call: str, kind: type[Exception], text: str) -> None:
    name, arguments = call.split("(", maxsplit=1)
    with pytest.raises(kind) as caught:
        eval(f"f({arguments}", NAMES | {"f": getattr(jaxinit, name)})
    assert type(caught.value) is kind
    assert str(caught.value) == text


def test_explicit_mesh_inside_jit_alone() -> None:
    mesh = jax.make_mesh((8,), ("x",), axis_types=(AxisType.Explicit,))
    place = NamedSharding(mesh, PartitionSpec("x"))
    with pytest.raises(ValueError) as caught:
        jax.jit(lambda key: jaxinit.normal(key, (8,), out_sharding=place))(K)
    assert str(caught.value) == (
        "normal: out_sharding on a mesh with explicit axes needs that mesh in context; got "
        "out_sharding=PartitionSpec('x',) inside jit without it. Call jit under "
        "jax.set_mesh(mesh)."
    )


def test_traced_sparsity() -> None:
    with pytest.raises(TypeError) as caught:
        jax.jit(lambda s: jaxinit.sparse(K, (3, 4), sparsity=s))(0.5)
    assert str(caught.value) == (
        "sparse: sparsity must be known when the program is compiled; got a traced array. "
        "Give a Python float."
    )


def test_errors_come_inside_jit_too() -> None:
    with pytest.raises(
        ValueError, match=r"^normal: std must be a finite number, at least 0"
    ):
        jax.jit(lambda key: jaxinit.normal(key, (3,), std=-1.0))(K)


def test_errors_do_not_depend_on_chex() -> None:
    import chex

    chex.disable_asserts()
    try:
        with pytest.raises(ValueError, match=r"^normal: std must be"):
            jaxinit.normal(K, (3,), std=-1.0)
    finally:
        chex.enable_asserts()
