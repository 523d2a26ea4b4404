"""Models of Hugging Face's transformers in Flax, which nobody here wrote."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.presets.transformers import gpt2

pytestmark = [
    pytest.mark.huggingface,
    pytest.mark.filterwarnings("ignore"),  # theirs, about the end of their Flax classes
]
TOKENS = jax.ShapeDtypeStruct((2, 8), jnp.int32)


def traced(module: Any, inputs: tuple[Any, ...], init: Any, apply: Any) -> Any:
    concrete = [jnp.zeros(x.shape, x.dtype) for x in inputs]
    params = jax.eval_shape(lambda key: init(key, *concrete), jax.random.key(0))["params"]
    return params, dict(jaxinit.trace_params(apply, params, *inputs))


def gpt2_model() -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_layer=2, n_embd=64, n_head=4, vocab_size=128, n_positions=32
    )
    module = transformers.FlaxGPT2LMHeadModel(config, _do_init=False).module
    mask, positions = jnp.ones((2, 8), jnp.int32), jnp.tile(jnp.arange(8), (2, 1))

    def init(key: jax.Array, ids: jax.Array) -> Any:
        return module.init(key, ids, mask, positions, return_dict=False)

    def apply(params: Any, ids: jax.Array) -> jax.Array:
        return module.apply({"params": params}, ids, mask, positions, return_dict=False)[0]

    return *traced(module, (TOKENS,), init, apply), apply


def test_gpt2_keeps_its_kernels_as_out_in() -> None:
    _, uses, _ = gpt2_model()
    for path, use in uses.items():
        if path.endswith("kernel"):
            assert use.role == "weight"
            assert use.layout.axes == "OI"
    qkv = uses["transformer/h/0/attn/c_attn/kernel"]
    assert (qkv.fans.fan_in, qkv.fans.fan_out) == (64, 64)
    down = uses["transformer/h/1/mlp/c_proj/kernel"]
    assert (down.fans.fan_in, down.fans.fan_out) == (256, 64)
    assert down.gain == pytest.approx(1.5335805216661463, rel=1e-6)  # golden, gelu_tanh
    assert uses["transformer/wte/embedding"].role == "embedding"


def test_gpt2_preset_gives_the_law_of_hugging_face() -> None:
    params, _, _ = gpt2_model()
    rules = gpt2(num_layers=2, residual="**/c_proj/kernel")
    made = jaxinit.initialize(jax.random.key(0), params, rules)
    block = made["transformer"]["h"]["0"]
    for leaf, std in (
        (block["attn"]["c_attn"]["kernel"], 0.02),
        (block["mlp"]["c_proj"]["kernel"], 0.01),  # 0.02 / sqrt(2 * 2 layers)
        (made["transformer"]["wte"]["embedding"], 0.02),
    ):
        z = np.asarray(leaf, np.float64) / std
        assert abs((z**2).mean() - 1) < 6.1 * np.sqrt(2 / z.size)
    assert not block["mlp"]["c_proj"]["bias"].any()
    assert (block["ln_1"]["scale"] == 1).all()


def test_bert() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        intermediate_size=128,
        vocab_size=96,
        max_position_embeddings=32,
    )
    module = transformers.FlaxBertModel(config, _do_init=False).module
    ones, places = jnp.ones((2, 8), jnp.int32), jnp.tile(jnp.arange(8), (2, 1))

    def init(key: jax.Array, ids: jax.Array) -> Any:
        return module.init(key, ids, ones, 0 * ones, places, None, return_dict=False)

    def apply(params: Any, ids: jax.Array) -> Any:
        return module.apply(
            {"params": params}, ids, ones, 0 * ones, places, None, return_dict=False
        )

    _, uses = traced(module, (TOKENS,), init, apply)
    kernels = {path: use for path, use in uses.items() if path.endswith("kernel")}
    assert {use.role for use in kernels.values()} == {"weight"}
    assert {use.layout.axes for use in kernels.values()} == {"IO"}
    down = uses["encoder/layer/0/output/dense/kernel"]
    assert (down.fans.fan_in, down.fans.fan_out) == (128, 64)
    assert down.gain == pytest.approx(1.533530441195535, rel=1e-6)  # golden, gelu
    assert uses["embeddings/word_embeddings/embedding"].role == "embedding"


def test_t5(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    clip = jnp.clip

    def old_clip(x: Any, a_min: Any = None, a_max: Any = None) -> jax.Array:
        return clip(x, a_min, a_max)

    monkeypatch.setattr(jnp, "clip", old_clip)  # its names of JAX before 0.7
    config = transformers.T5Config(
        num_layers=2, d_model=64, d_kv=16, num_heads=4, d_ff=128, vocab_size=96
    )
    module = transformers.FlaxT5ForConditionalGeneration(config, _do_init=False).module
    ones = jnp.ones((2, 8), jnp.int32)

    def init(key: jax.Array, ids: jax.Array) -> Any:
        return module.init(key, ids, ones, ids, ones, return_dict=False)

    def apply(params: Any, ids: jax.Array) -> Any:
        return module.apply({"params": params}, ids, ones, ids, ones, return_dict=False)[0]

    _, uses = traced(module, (TOKENS,), init, apply)
    kernels = {path: use for path, use in uses.items() if path.endswith("kernel")}
    assert {use.role for use in kernels.values()} == {"weight"}
    up = uses["encoder/block/0/layer/1/DenseReluDense/wi/kernel"]
    assert (up.fans.fan_in, up.fans.fan_out) == (64, 128)
    down = uses["encoder/block/0/layer/1/DenseReluDense/wo/kernel"]
    assert down.gain == pytest.approx(2**0.5, rel=1e-6)
    assert uses["shared/embedding"].role == "embedding"


def test_vit() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=16,
        patch_size=4,
    )
    module = transformers.FlaxViTModel(config, _do_init=False).module
    image = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)

    def init(key: jax.Array, x: jax.Array) -> Any:
        return module.init(key, x, return_dict=False)

    def apply(params: Any, x: jax.Array) -> Any:
        return module.apply({"params": params}, x, return_dict=False)

    _, uses = traced(module, (image,), init, apply)
    patch = uses["embeddings/patch_embeddings/projection/kernel"]
    assert patch.layout.axes == "HWIO"
    assert patch.fans.fan_in == 4 * 4 * 3
    down = uses["encoder/layer/1/output/dense/kernel"]
    assert (down.fans.fan_in, down.fans.fan_out) == (128, 64)
