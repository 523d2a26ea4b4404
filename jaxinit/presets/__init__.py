"""Schemes of libraries and papers, as rules for :func:`jaxinit.plan` and ``initialize``.

Each preset returns a list of rules; ``help(jaxinit.presets.NAME)`` has its source, and
``jaxinit presets`` lists them all. Those that go by what a parameter does take its traced
uses (``jaxinit.trace_params``); those that go by names take globs over paths.

* Defaults of layers: ``pytorch`` (with ``pytorch_recurrent``, ``pytorch_attention``,
  ``pytorch_bilinear``), ``keras``, ``flax``, ``haiku``, ``equinox``, ``norms``.
* Transformers: ``gpt2``, ``t5``, ``vit``, ``dit``, ``deepnorm``, ``t_fixup``, ``moe``.
* Other models: ``convnext``, ``lstm``, ``gru``, ``mamba``, ``siren``, ``orthogonal_rl``.
* Residual branches: ``rezero``, ``skipinit``, ``zero_gamma``, ``layer_scale``, ``fixup``.
* Width: ``mup``, which also returns learning rates and multipliers.
* Fine-tuning: ``lora``.
"""

from jaxinit.presets.branches import dit as dit
from jaxinit.presets.branches import layer_scale as layer_scale
from jaxinit.presets.branches import rezero as rezero
from jaxinit.presets.branches import skipinit as skipinit
from jaxinit.presets.branches import zero_gamma as zero_gamma
from jaxinit.presets.convnext import convnext as convnext
from jaxinit.presets.depth import DeepNorm as DeepNorm
from jaxinit.presets.depth import deepnorm as deepnorm
from jaxinit.presets.depth import deepnorm_constants as deepnorm_constants
from jaxinit.presets.depth import fixup as fixup
from jaxinit.presets.depth import t_fixup as t_fixup
from jaxinit.presets.experts import moe as moe
from jaxinit.presets.layers import equinox as equinox
from jaxinit.presets.layers import flax as flax
from jaxinit.presets.layers import haiku as haiku
from jaxinit.presets.layers import keras as keras
from jaxinit.presets.layers import norms as norms
from jaxinit.presets.layers import pytorch as pytorch
from jaxinit.presets.layers import pytorch_attention as pytorch_attention
from jaxinit.presets.layers import pytorch_bilinear as pytorch_bilinear
from jaxinit.presets.layers import pytorch_recurrent as pytorch_recurrent
from jaxinit.presets.lora import lora as lora
from jaxinit.presets.lora import lora_scaling as lora_scaling
from jaxinit.presets.mamba import mamba as mamba
from jaxinit.presets.mup import MuP as MuP
from jaxinit.presets.mup import mup as mup
from jaxinit.presets.recurrent import gru as gru
from jaxinit.presets.recurrent import lstm as lstm
from jaxinit.presets.rl import orthogonal_rl as orthogonal_rl
from jaxinit.presets.siren import siren as siren
from jaxinit.presets.transformers import gpt2 as gpt2
from jaxinit.presets.transformers import t5 as t5
from jaxinit.presets.transformers import vit as vit

__all__ = [
    "DeepNorm",
    "MuP",
    "convnext",
    "deepnorm",
    "deepnorm_constants",
    "dit",
    "equinox",
    "fixup",
    "flax",
    "gpt2",
    "gru",
    "haiku",
    "keras",
    "layer_scale",
    "lora",
    "lora_scaling",
    "lstm",
    "mamba",
    "moe",
    "mup",
    "norms",
    "orthogonal_rl",
    "pytorch",
    "pytorch_attention",
    "pytorch_bilinear",
    "pytorch_recurrent",
    "rezero",
    "siren",
    "skipinit",
    "t5",
    "t_fixup",
    "vit",
    "zero_gamma",
]
