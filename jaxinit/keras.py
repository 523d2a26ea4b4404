"""Keras on JAX: initializers for its layers, and models drawn anew.

Keras must run on JAX: set ``KERAS_BACKEND=jax`` before anything imports it.
"""

import dataclasses
import functools
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

try:
    import keras
except ModuleNotFoundError as error:
    text = (
        "jaxinit.keras: Keras must be installed and run on JAX; got no module named "
        f"{error.name!r}. Run: pip install keras, and set KERAS_BACKEND=jax"
    )
    raise ModuleNotFoundError(text, name=error.name) from None

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, listed, type_error, value_error
from jaxinit._distribution import unwrapped
from jaxinit._layout import Fans, Layout
from jaxinit._types import Initializer, Key
from jaxinit.initializers.named import BY_NAME, from_config
from jaxinit.models.by_layer import Layer, Rules, Weight, product, redraw, window
from jaxinit.models.einsum import einsum_axes
from jaxinit.models.initialize import OutShardings
from jaxinit.trace.use import Uses

if keras.backend.backend() != "jax":
    text = (
        "jaxinit.keras: Keras must run on JAX; got "
        f"the backend {keras.backend.backend()}. Set KERAS_BACKEND=jax before Keras starts."
    )
    raise ImportError(text, name="keras")


@keras.saving.register_keras_serializable(package="jaxinit", name="Initializer")
class KerasInitializer(keras.initializers.Initializer):
    """The initializer that :func:`initializer` returns."""

    @functools.partial(boundary, name="keras.initializer")
    def __init__(
        self,
        name: str | Initializer,
        options: Mapping[str, Any] | None = None,
        seed: Any = None,
    ) -> None:
        given = {key: _decoded(value) for key, value in (options or {}).items()}
        if isinstance(name, str):
            check_choice("fn", name, BY_NAME)
            self._function = from_config({"name": name, **given})
        elif callable(name):
            self._function: Any = functools.partial(name, **given) if given else name
        else:
            rule = "fn must be the name of an initializer, or a function"
            advice = "Give for example jaxinit.kaiming_normal."
            type_error(rule, f"fn={name!r}", advice)
        if isinstance(seed, Mapping):  # as a saved model holds it
            seed = keras.saving.deserialize_keras_object(seed)
        is_seed = seed is None or isinstance(seed, (int, keras.random.SeedGenerator))
        if not is_seed or isinstance(seed, bool):
            rule = "seed must be an int, a keras.random.SeedGenerator or None"
            type_error(rule, f"seed={seed!r}", "Give an int.")
        self.seed = seed

    def __call__(self, shape: Any, dtype: Any = None, layout: Any = None) -> jax.Array:
        """Return an array as Keras' layers ask for it, placed as ``layout`` says."""
        placed = {} if layout is None else {"out_sharding": layout}
        dtype = dtype or keras.config.floatx()
        return self._function(self._key(), tuple(shape), dtype, **placed)

    def _key(self) -> Key:
        if isinstance(self.seed, int):
            return jax.random.key(self.seed)
        if self.seed is None:  # as Keras: keras.utils.set_random_seed fixes these
            return jax.random.key(random.randint(1, 10**9))
        words = jnp.asarray(self.seed.next()).astype(jnp.uint32)
        return jax.random.wrap_key_data(words)

    @functools.partial(boundary, name="keras.initializer")
    def get_config(self) -> dict[str, Any]:
        """Return name, options and seed as plain values, which ``from_config`` takes."""
        function, options = unwrapped(self._function)
        name = getattr(function, "__name__", repr(function))
        if function not in BY_NAME.values():
            rule = "only initializers of jaxinit can be saved by name"
            advice = "Use one of them, or a subclass of keras.initializers.Initializer."
            type_error(rule, name, advice)
        plain = {key: _encoded(key, value) for key, value in options.items()}
        seed = keras.saving.serialize_keras_object(self.seed)
        return {"name": name, "options": plain, "seed": seed}


def _encoded(name: str, value: Any) -> Any:
    if isinstance(value, (Fans, Layout)):
        return dataclasses.asdict(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    rule = "options must be plain values for a model to be saved"
    got = f"{name}={getattr(value, '__name__', repr(value))}"
    type_error(rule, got, "Give a name or a number.")


def _decoded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Fans(**value) if "fan_in" in value else Layout(**value)
    return value


@boundary
def initializer(
    fn: str | Initializer, *, seed: Any = None, **options: Any
) -> KerasInitializer:
    """Return an initializer in Keras' form, which is saved and loaded with a model.

    To load a model that holds one, import ``jaxinit.keras`` first. Keras' layout of kernels
    is the default one, input before output; transposed and depthwise convolutions have
    others: bind ``layout="HWOI"``, or use :func:`reinitialize`, which knows the layers.
    What Keras calls ``glorot_normal`` and ``he_normal`` is truncated:
    ``xavier_truncated_normal`` and ``kaiming_truncated_normal`` here.

    Args:
        fn: One of this package's initializers, its name, or a ``functools.partial`` of it.
            Any other function ``(key, shape, dtype)`` serves too, but cannot be saved.
        seed: An int, for which each call gives the same values, or a
            ``keras.random.SeedGenerator``. None takes a new seed at each call, which
            ``keras.utils.set_random_seed`` makes reproducible.
        **options: Options of ``fn``.

    Returns:
        A ``keras.initializers.Initializer``.

    Raises:
        ValueError: The name or an option is unknown.
        TypeError: ``fn`` or ``seed`` is of the wrong kind.

    Example:
        >>> import keras
        >>> import jaxinit
        >>> from jaxinit.keras import initializer
        >>> he = initializer(jaxinit.kaiming_normal, nonlinearity="relu", seed=0)
        >>> layer = keras.layers.Dense(300, kernel_initializer=he)
        >>> layer.build((None, 200))
        >>> round(float(layer.kernel.value.std()), 2)  # sqrt(2 / 200)
        0.1
        >>> he.get_config()
        {'name': 'kaiming_normal', 'options': {'nonlinearity': 'relu'}, 'seed': 0}
    """
    return KerasInitializer(fn, options, seed)


@boundary
def reinitialize(
    key: Key,
    model: keras.Model,
    rules: Rules,
    *,
    uses: Uses | None = None,
    out_shardings: OutShardings = None,
) -> keras.Model:
    """Draw the trainable variables of a Keras model anew, in place.

    The layouts of ``Dense``, ``EinsumDense`` (and so ``MultiHeadAttention``), of plain,
    grouped, depthwise, separable and transposed convolutions, and of recurrent cells are
    known.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        model: A model, or a layer, that is built.
        rules: Pairs (match, initializer) as :func:`jaxinit.plan` takes them, over Keras'
            own paths, such as ``sequential/dense/kernel``; a plan; or, by layer type,
            ``{keras.layers.Dense: {"kernel": initializer}}``, which keeps all else.
        uses: What :func:`jaxinit.trace_params` found, for layouts.
        out_shardings: As in :func:`jaxinit.initialize`.

    Returns:
        The model itself, changed. Keys come from paths, and Keras numbers layers that have
        no name: name them for equal values in another process.

    Raises:
        ValueError: As :func:`jaxinit.initialize`; or the model is not built, two variables
            have one path, or a rule matches only variables that are not trained.
        TypeError: ``model`` is no Keras model, or as :func:`jaxinit.initialize`.

    Example:
        >>> import keras
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.keras import reinitialize
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(300)])
        >>> rules = {keras.layers.Dense: {"kernel": jaxinit.kaiming_normal}}
        >>> model = reinitialize(jax.random.key(0), model, rules)
        >>> round(float(model.layers[0].kernel.value.std()) * 64**0.5, 1)
        1.4
    """
    variables = _trainable(model)
    paths = set(variables)
    others = {v.path: "not trainable" for v in model.variables if v.path not in paths}
    params = _tree({path: variable.value for path, variable in variables.items()})
    new = redraw(
        key,
        params,
        rules,
        list(_layers(model)),
        uses=uses,
        others=others,
        out_shardings=out_shardings,
        example='{keras.layers.Dense: {"kernel": initializer}}',
    )
    for path, variable in variables.items():
        variable.assign(_at(new, path))
    return model


@boundary
def forward(model: keras.Model, **options: Any) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``lsuv``.

    Args:
        model: A model, or a layer, that is built.
        **options: Keyword arguments of the call, such as ``training=True``; those given to
            ``apply_fn`` go before.

    Returns:
        A pure function of (params, \\*inputs), and the trainable variables as nested
        dicts by Keras' paths. Running averages and seeds start at the model's, and the new
        ones are dropped.

    Raises:
        ValueError: The model is not built, or two variables have one path.
        TypeError: ``model`` is no Keras model.

    Example:
        >>> import keras
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.keras import forward
        >>> layer = keras.layers.DepthwiseConv2D(3, name="depthwise")
        >>> layer.build((None, 8, 8, 16))
        >>> x = jax.ShapeDtypeStruct((1, 8, 8, 16), "float32")
        >>> uses = jaxinit.trace_params(*forward(layer), x)
        >>> uses["depthwise/kernel"].fans.fan_in
        9
    """
    variables = _trainable(model)
    state = [variable.value for variable in model.non_trainable_variables]

    def apply_fn(params: Any, *inputs: Any, **more: Any) -> Any:
        values = [_at(params, path) for path in variables]
        return model.stateless_call(values, state, *inputs, **options | more)[0]

    return apply_fn, _tree({path: v.value for path, v in variables.items()})


def _trainable(model: Any) -> dict[str, Any]:
    """Return the trainable variables by path."""
    if not isinstance(model, keras.Layer):
        got = f"{type(model).__name__}"
        type_error("model must be a Keras model or layer", got, "Give the model.")
    if not model.built:
        advice = "Call it on data, or build it with the shape of its input."
        value_error("model must be built", f"{model.name!r}, which is not", advice)
    paths = [variable.path for variable in model.trainable_variables]
    twice = sorted({path for path in paths if paths.count(path) > 1})
    if twice:
        rule = "every variable needs a path of its own"
        got = f"{listed(twice)} more than once"
        value_error(rule, got, "Give the layers different names.")
    return dict(zip(paths, model.trainable_variables, strict=True))


def _tree(values: Mapping[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, value in values.items():
        *home, name = path.split("/")
        node = root
        for step in home:
            node = node.setdefault(step, {})
        node[name] = value
    return root


def _at(tree: Any, path: str) -> Any:
    for step in path.split("/"):
        tree = tree[step]
    return tree


def _layers(model: Any) -> Iterator[Layer]:
    for layer in model._flatten_layers():  # the only way to layers inside of layers
        owner = layer.cell if isinstance(layer, keras.layers.RNN) else layer
        own = [v for v in vars(owner).values() if isinstance(v, keras.Variable)]
        fields = {v.name: v.path for v in own if v.trainable}
        weights = {v.name: w for v in own if (w := _weight(owner, v.name, v)) is not None}
        yield Layer(str(layer.path), layer, fields, weights)


_L = keras.layers
_CONV = (_L.Conv1D, _L.Conv2D, _L.Conv3D)
_TRANSPOSED = (_L.Conv1DTranspose, _L.Conv2DTranspose, _L.Conv3DTranspose)
_DEPTHWISE = (_L.DepthwiseConv1D, _L.DepthwiseConv2D)
_SEPARABLE = (_L.SeparableConv1D, _L.SeparableConv2D)
_GATES = {_L.SimpleRNNCell: 1, _L.GRUCell: 3, _L.LSTMCell: 4}


def _weight(layer: Any, name: str, variable: Any) -> Weight | None:
    """Return what the type of a layer says of one of its variables."""
    if not name.endswith("kernel"):
        return None
    shape = tuple(variable.shape)
    rank = len(shape) - 2
    if isinstance(layer, _L.EinsumDense):
        axes = einsum_axes(layer.equation, 1)
        return None if axes is None else Weight(Layout(axes))
    if isinstance(layer, _TRANSPOSED):
        return Weight(Layout(window(rank) + "OI"), product(layer.strides, rank))
    if isinstance(layer, _DEPTHWISE) or name == "depthwise_kernel":
        return Weight(Layout(window(rank) + "IO", groups=shape[-2], grouped="I"))
    if isinstance(layer, _CONV):
        return Weight(Layout(window(rank) + "IO", groups=layer.groups))
    cells = [gates for kind, gates in _GATES.items() if isinstance(layer, kind)]
    if cells or type(layer).__name__ == "ConvLSTMCell":
        return Weight(Layout(window(rank) + "IO"), 1, cells[0] if cells else 4)
    if isinstance(layer, (_L.Dense, *_SEPARABLE)):
        return Weight(Layout(window(rank) + "IO"))
    return None


__all__ = [
    "KerasInitializer",
    "forward",
    "initializer",
    "reinitialize",
]
