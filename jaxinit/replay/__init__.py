"""The very weights that other libraries draw from a seed, as pure functions.

Each module is one stream of one library; none of the libraries needs to be installed.
The README beside this file says what is equal in every bit, what is not, and why.

- `torch_cpu`: ``torch.nn.init`` after ``torch.manual_seed``, and whole models, with
  `torch_layers` to describe them and `layouts` to bring them to JAX's libraries.
- `numpy_legacy`, `numpy_generator`: ``np.random.seed`` and ``np.random.default_rng``.
- `python_random`: Python's module ``random``.
- `tf_stateless`, `keras_tensorflow`: TensorFlow's stateless draws, and the initializers
  of Keras on TensorFlow.
"""

from jaxinit.replay import keras_tensorflow as keras_tensorflow
from jaxinit.replay import layouts as layouts
from jaxinit.replay import numpy_generator as numpy_generator
from jaxinit.replay import numpy_legacy as numpy_legacy
from jaxinit.replay import python_random as python_random
from jaxinit.replay import tf_stateless as tf_stateless
from jaxinit.replay import torch_cpu as torch_cpu
from jaxinit.replay import torch_layers as torch_layers
