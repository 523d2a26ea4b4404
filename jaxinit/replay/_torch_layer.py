"""What the layers of PyTorch share that have parameters."""

from typing import Any, TypeVar

from jaxinit._checks import check_int, type_error
from jaxinit.replay._torch_module import Module
from jaxinit.replay._torch_record import check_tensor_dtype

__all__ = ["Layer"]

_LayerT = TypeVar("_LayerT", bound="Layer")


def check_no_dtype(dtype: object) -> None:
    """Refuse a dtype of one tensor."""
    if check_tensor_dtype(dtype) is not None:
        rule = "all tensors of a model have one dtype, which build takes"
        type_error(rule, f"dtype={dtype!r}", "Give dtype to build instead.")


_SIZES = frozenset({
    "in_features", "out_features", "in1_features", "in2_features", "nf", "nx",
    "in_channels", "out_channels", "groups", "num_embeddings", "embedding_dim",
    "num_groups", "num_channels", "num_features", "num_parameters", "input_size",
    "hidden_size", "embed_dim", "num_heads", "d_model", "nhead", "dim_feedforward",
})  # fmt: skip
"""Arguments that are ints from 1 on."""


class Layer(Module):
    """A module of PyTorch with parameters of its own; see `_signatures`."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        super().__init__()

    def _make(self, given: dict[str, Any]) -> None:
        """Take all arguments as attributes, and place the parameters."""
        self._check(**{name: given[name] for name in given if name in _SIZES})
        given.pop("device", None)
        check_no_dtype(given.pop("dtype", None))
        vars(self).update(given)
        self._build()

    def _build(self) -> None:
        raise NotImplementedError

    def _check(self, **sizes: Any) -> None:
        """Check that sizes are at least 1."""
        for name, size in sizes.items():
            check_int(name, size, least=1)


def kind(
    base: type[_LayerT], name: str, signature: str | None = None, **members: Any
) -> type[_LayerT]:
    """Return the layer of PyTorch of this name: a base, and what is its own."""
    own = {"__doc__": f"``torch.nn.{name}``.", "__module__": base.__module__, **members}
    own |= {} if signature is None else {"signature": signature}
    made: Any = type(name, (base,), own)
    return made
