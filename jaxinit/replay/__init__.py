"""The very weights that other libraries draw from a seed, as pure functions.

Each module is one stream of one library; none of the libraries needs to be installed.
The README beside this file says what is equal in every bit, what is not, and why.

- `torch_cpu`: ``torch.nn.init`` after ``torch.manual_seed``, and whole models, with
  `torch_layers` to describe them and `layouts` to bring them to JAX's libraries.
- `numpy_legacy`, `numpy_generator`: ``np.random.seed`` and ``np.random.default_rng``.
- `python_random`: Python's module ``random``.
- `tf_stateless`, `tf_stateful`: TensorFlow's stateless draws, and its eager ops after
  ``tf.random.set_seed``.
- `keras_models`: Keras models after ``keras.utils.set_random_seed``, on its backends
  TensorFlow, JAX and PyTorch; `keras_initializers` and `keras_tensorflow`: initializers.
"""

from jaxinit.replay import keras_initializers as keras_initializers
from jaxinit.replay import keras_layers as keras_layers
from jaxinit.replay import keras_models as keras_models
from jaxinit.replay import keras_tensorflow as keras_tensorflow
from jaxinit.replay import layouts as layouts
from jaxinit.replay import numpy_generator as numpy_generator
from jaxinit.replay import numpy_legacy as numpy_legacy
from jaxinit.replay import python_random as python_random
from jaxinit.replay import tf_stateful as tf_stateful
from jaxinit.replay import tf_stateless as tf_stateless
from jaxinit.replay import torch_cpu as torch_cpu
from jaxinit.replay import torch_init as torch_init
from jaxinit.replay import torch_layers as torch_layers

__all__ = [
    "keras_initializers", "keras_layers", "keras_models", "keras_tensorflow", "layouts",
    "numpy_generator", "numpy_legacy", "python_random", "tf_stateful", "tf_stateless",
    "torch_cpu", "torch_init", "torch_layers",
]  # fmt: skip
