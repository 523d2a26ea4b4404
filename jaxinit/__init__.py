"""Weight initializers for JAX: exact in every dtype, fast, the same on every mesh."""

from jaxinit import _interrupt as _interrupt

# isort: split
import importlib
from typing import TYPE_CHECKING, Any

from jaxinit._fused import fused_key as fused_key
from jaxinit._gains import calculate_gain as calculate_gain
from jaxinit._layout import Fans as Fans
from jaxinit._layout import Layout as Layout
from jaxinit._layout import compute_fans as compute_fans
from jaxinit._types import Initializer as Initializer
from jaxinit._types import ShardedInitializer as ShardedInitializer
from jaxinit._version import __version__ as __version__
from jaxinit.initializers.biases import class_prior as class_prior
from jaxinit.initializers.biases import log_uniform as log_uniform
from jaxinit.initializers.composed import parts as parts
from jaxinit.initializers.constant import constant as constant
from jaxinit.initializers.constant import ones as ones
from jaxinit.initializers.constant import zeros as zeros
from jaxinit.initializers.identity import dirac as dirac
from jaxinit.initializers.identity import identity as identity
from jaxinit.initializers.kaiming import he_normal as he_normal
from jaxinit.initializers.kaiming import he_truncated_normal as he_truncated_normal
from jaxinit.initializers.kaiming import he_uniform as he_uniform
from jaxinit.initializers.kaiming import kaiming_normal as kaiming_normal
from jaxinit.initializers.kaiming import (
    kaiming_truncated_normal as kaiming_truncated_normal,
)
from jaxinit.initializers.kaiming import kaiming_uniform as kaiming_uniform
from jaxinit.initializers.lecun import lecun_normal as lecun_normal
from jaxinit.initializers.lecun import lecun_truncated_normal as lecun_truncated_normal
from jaxinit.initializers.lecun import lecun_uniform as lecun_uniform
from jaxinit.initializers.masked import rows as rows
from jaxinit.initializers.masked import where as where
from jaxinit.initializers.named import from_config as from_config
from jaxinit.initializers.named import get as get
from jaxinit.initializers.named import get_config as get_config
from jaxinit.initializers.orthogonal import delta_orthogonal as delta_orthogonal
from jaxinit.initializers.orthogonal import orthogonal as orthogonal
from jaxinit.initializers.plain import normal as normal
from jaxinit.initializers.plain import uniform as uniform
from jaxinit.initializers.scaled import variance_scaling as variance_scaling
from jaxinit.initializers.sparse import sparse as sparse
from jaxinit.initializers.truncated import truncated_normal as truncated_normal
from jaxinit.initializers.upsampling import bilinear as bilinear
from jaxinit.initializers.wrappers import per_slice as per_slice
from jaxinit.initializers.xavier import glorot_normal as glorot_normal
from jaxinit.initializers.xavier import glorot_truncated_normal as glorot_truncated_normal
from jaxinit.initializers.xavier import glorot_uniform as glorot_uniform
from jaxinit.initializers.xavier import xavier_normal as xavier_normal
from jaxinit.initializers.xavier import xavier_truncated_normal as xavier_truncated_normal
from jaxinit.initializers.xavier import xavier_uniform as xavier_uniform
from jaxinit.models.audit import audit as audit
from jaxinit.models.auto import auto as auto
from jaxinit.models.initialize import initialize as initialize
from jaxinit.models.keys import path_key as path_key
from jaxinit.models.materialize import materialize as materialize
from jaxinit.models.plan import Plan as Plan
from jaxinit.models.plan import plan as plan
from jaxinit.models.rules import keep as keep
from jaxinit.models.rules import optional as optional
from jaxinit.trace.entry import trace_params as trace_params
from jaxinit.trace.use import ParamUse as ParamUse
from jaxinit.trace.use import Uses as Uses

__all__ = [
    "Fans",
    "Initializer",
    "Layout",
    "ParamUse",
    "Plan",
    "ShardedInitializer",
    "Uses",
    "__version__",
    "asserts",
    "audit",
    "auto",
    "bilinear",
    "calculate_gain",
    "class_prior",
    "compute_fans",
    "constant",
    "delta_orthogonal",
    "dirac",
    "from_config",
    "fused_key",
    "get",
    "get_config",
    "glorot_normal",
    "glorot_truncated_normal",
    "glorot_uniform",
    "he_normal",
    "he_truncated_normal",
    "he_uniform",
    "identity",
    "initialize",
    "kaiming_normal",
    "kaiming_truncated_normal",
    "kaiming_uniform",
    "keep",
    "lecun_normal",
    "lecun_truncated_normal",
    "lecun_uniform",
    "log_uniform",
    "materialize",
    "normal",
    "ones",
    "optional",
    "orthogonal",
    "parts",
    "path_key",
    "per_slice",
    "plan",
    "presets",
    "replay",
    "rows",
    "signal",
    "sparse",
    "trace_params",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "where",
    "xavier_normal",
    "xavier_truncated_normal",
    "xavier_uniform",
    "zeros",
]

if TYPE_CHECKING:
    from jaxinit import asserts as asserts
    from jaxinit import presets as presets
    from jaxinit import replay as replay
    from jaxinit import signal as signal


def __getattr__(name: str) -> Any:
    """Import a part of the library when it is first asked for."""
    if name in ("asserts", "presets", "replay", "signal"):
        return importlib.import_module(f"jaxinit.{name}")
    message = f"module 'jaxinit' has no attribute {name!r}"
    raise AttributeError(message)
