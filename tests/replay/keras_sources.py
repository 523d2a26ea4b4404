"""Keras models for the tests, and for the script that recorded their weights."""

import numpy as np


def mlp(keras):
    layers = keras.layers
    return keras.Sequential([
        keras.Input((20,)),
        layers.Dense(16, activation="relu"),
        layers.Dropout(0.3),
        layers.BatchNormalization(),
        layers.Dense(7, kernel_initializer="he_normal", bias_initializer="uniform"),
        layers.Dense(
            3,
            kernel_initializer=keras.initializers.VarianceScaling(
                0.5, "fan_avg", "uniform"
            ),
        ),
    ])


def cnn(keras):
    layers = keras.layers
    model = keras.Sequential()
    model.add(keras.Input(shape=(28, 28, 3)))
    model.add(layers.RandomFlip("horizontal"))
    model.add(layers.Rescaling(1.0 / 255))
    model.add(layers.Conv2D(8, (3, 3), strides=2, padding="same", activation="relu"))
    model.add(layers.MaxPooling2D((2, 2)))
    model.add(layers.SeparableConv2D(6, 3, use_bias=False))
    model.add(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2))
    model.add(layers.Conv2DTranspose(4, 3, strides=2, padding="same"))
    model.add(layers.SpatialDropout2D(0.1))
    model.add(layers.PReLU(shared_axes=[1, 2]))
    model.add(layers.ZeroPadding2D(((1, 0), (0, 1))))
    model.add(layers.Conv2D(4, 3, groups=2, kernel_initializer="lecun_uniform"))
    model.add(layers.Flatten())
    model.add(layers.Dense(10))
    return model


def text(keras):
    layers = keras.layers
    return keras.Sequential([
        keras.Input((12,)),
        layers.Embedding(50, 8),
        layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
        layers.GRU(4, return_sequences=True, dropout=0.2),
        layers.Bidirectional(layers.SimpleRNN(3, return_sequences=True), merge_mode="sum"),
        layers.TimeDistributed(layers.Dense(4)),
        layers.LSTM(6, unit_forget_bias=False),
        layers.GaussianNoise(0.1),
        layers.Dense(2, kernel_initializer=keras.initializers.GlorotNormal(seed=7)),
    ])


def transformer(keras):
    layers = keras.layers
    x = inputs = keras.Input((9, 16))
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.MultiHeadAttention(num_heads=2, key_dim=4, dropout=0.1)(y, y)
        x = layers.Add()([x, layers.Dropout(0.1)(y)])
        y = layers.Conv1D(filters=12, kernel_size=1, activation="relu")(x)
        y = layers.Conv1D(filters=16, kernel_size=1)(y)
        x = x + y
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(x))


def branches(keras):
    layers = keras.layers
    left, right = keras.Input((6,)), keras.Input((8, 8, 1))
    a = layers.Dense(5, kernel_initializer="orthogonal")(left)
    b = layers.Conv2D(3, 3, kernel_initializer="random_normal")(right)
    layers.Dense(9)(left)  # not part of the model, but it takes a seed
    b = layers.GlobalMaxPooling2D()(b)
    c = layers.Concatenate()([a, b])
    base = keras.Sequential([
        keras.Input((8,)),
        layers.Dense(4, name="inner"),
        layers.Dense(4),
    ])
    return keras.Model(
        [left, right], layers.Dense(2, kernel_initializer="truncated_normal")(base(c))
    )


MODELS = {f.__name__: f for f in (mlp, cnn, text, transformer, branches)}


def stacked(shape, *makes):
    """Return the function that makes a Sequential of layers, and a Dense after them."""

    def make(keras):
        made = [make(keras.layers) for make in makes]
        return keras.Sequential([keras.Input(shape), *made, keras.layers.Dense(2)])

    return make


def called(shapes, make):
    """Return the function that makes a model of what a layer makes of some inputs."""

    def model(keras):
        inputs = [keras.Input(shape) for shape in shapes]
        made = make(keras, *inputs)
        return keras.Model(inputs, keras.layers.Dense(2)(made))

    return model


PIXELS, STEPS = (8, 8, 3), (6, 4)
CONV_LSTM = {"padding": "same", "dropout": 0.1}
LAYERS = {
    "einsum": stacked(
        STEPS, lambda k: k.EinsumDense("abc,cde->abde", (None, 5, 2), bias_axes="de")
    ),
    "einsum, left": stacked(
        STEPS, lambda k: k.EinsumDense("...x,xy->...y", 5, bias_axes="y")
    ),
    "einsum, right": stacked(
        (3, 4, 5),
        lambda k: k.EinsumDense(
            "ab...,bc->ac...", 6, bias_axes="c", kernel_initializer="lecun_normal"
        ),
    ),
    "gate": called(
        [STEPS, (5, 3)],
        lambda keras, x, y: keras.layers.MultiHeadAttention(
            2, 4, value_dim=3, output_shape=5, use_gate=True, dropout=0.1
        )(query=x, value=y),
    ),
    "mask is no key": called(
        [STEPS, (6, 6)],
        lambda keras, x, mask: keras.layers.MultiHeadAttention(2, 4)(
            x, x, attention_mask=mask
        ),
    ),
    "shapes of attention": stacked(
        (3, 5, 4),
        lambda k: k.Lambda(lambda x: x * 2.0),
        lambda k: k.TimeDistributed(k.Dense(6)),
    ),
    "groups": called(
        [STEPS, (5, 4)],
        lambda keras, x, y: keras.layers.GroupQueryAttention(
            3, 4, 2, use_gate=True, dropout=0.1
        )(x, y),
    ),
    "stacked cells": stacked(
        STEPS,
        lambda k: k.RNN(
            [k.LSTMCell(3), k.GRUCell(2), k.SimpleRNNCell(5)], return_sequences=True
        ),
        lambda k: k.RNN(k.StackedRNNCells([k.LSTMCell(3), k.LSTMCell(2)])),
    ),
    "conv_lstm_1d": stacked((4, 6, 3), lambda k: k.ConvLSTM1D(2, 3, use_bias=False)),
    "conv_lstm_2d": stacked((4, 6, 5, 3), lambda k: k.ConvLSTM2D(2, (3, 2), **CONV_LSTM)),
    "conv_lstm_3d": stacked(
        (3, 4, 6, 5, 1),
        lambda k: k.ConvLSTM3D(2, 3, strides=2, return_sequences=True, **CONV_LSTM),
    ),
    "spectral": stacked(
        PIXELS,
        lambda k: k.SpectralNormalization(k.Conv2D(4, 3)),
        lambda k: k.SpectralNormalization(k.Dense(3, kernel_initializer="orthogonal")),
    ),
    "reversible": stacked((5,), lambda k: k.ReversibleEmbedding(7, 4, tie_weights=False)),
    "renorm": stacked(
        PIXELS,
        lambda k: k.BatchNormalization(
            renorm=True, moving_mean_initializer="random_uniform"
        ),
    ),
    "normalization": stacked(
        PIXELS, lambda k: k.Normalization(), lambda k: k.Normalization(axis=(1, 3))
    ),
    "images": stacked(
        PIXELS,
        lambda k: k.RandomCrop(7, 7),
        lambda k: k.RandAugment(),
        lambda k: k.AugMix(all_ops=False),
        lambda k: k.RandomColorJitter(brightness_factor=0.1, hue_factor=0.2),
        lambda k: k.RandomShear(0.1),
        lambda k: k.RandomErasing(seed=3),
        lambda k: k.MixUp(),
        lambda k: k.CutMix(),
        lambda k: k.Solarization(),
        lambda k: k.AdaptiveAveragePooling2D((3, 2)),
        lambda k: k.Conv2D(2, 2),
        lambda k: k.Flatten(),
    ),
    "pipeline": stacked(
        PIXELS, lambda k: k.Pipeline([k.RandomFlip(), k.RandomContrast(0.1)])
    ),
}


def parts(keras):
    """Subclasses of Layer and Model, as people write them."""

    class Linear(keras.layers.Layer):
        def __init__(self, units, **options):
            super().__init__(**options)
            self.units = units

        def build(self, input_shape):
            size = (input_shape[-1], self.units)
            self.w = self.add_weight(shape=size, initializer="random_normal", name="w")
            self.n = self.add_weight(initializer="zeros", trainable=False)
            self.b = self.add_weight((self.units,), "zeros")
            super().build(input_shape)

        def call(self, inputs):
            return keras.ops.matmul(inputs, self.w) + self.b

    class Block(keras.Layer):
        def __init__(self, width):
            super().__init__()
            self.first, self.steps = keras.layers.Dense(2 * width, activation="gelu"), []
            self.drop = keras.layers.Dropout(0.1)
            for _ in range(2):
                self.steps.append(Linear(width))
            self.norms = {"a": keras.layers.LayerNormalization()}

        def call(self, x, training=False):
            y = self.drop(self.first(x), training=training)
            for step in self.steps:
                y = keras.ops.relu(step(y))
            return self.norms["a"](x + y)

    class Positions(keras.layers.Layer):
        def __init__(self, length, size, width):
            super().__init__()
            self.tokens = keras.layers.Embedding(size, width)
            self.places = keras.layers.Embedding(length, width)

        def call(self, x):
            length = keras.ops.shape(x)[-1]
            return self.tokens(x) + self.places(keras.ops.arange(0, length, 1))

    return Linear, Block, Positions


def subclassed_layers(keras):
    _, block, positions = parts(keras)
    x = inputs = keras.Input((6,), dtype="int32")
    x = positions(6, 9, 4)(x)
    for _ in range(2):
        x = block(4)(x)
    x = keras.ops.mean(x, axis=1)
    return keras.Model(inputs, keras.layers.Dense(2)(x))


def subclassed_model(keras):
    linear, block, _ = parts(keras)

    class Net(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.body = [block(width), block(width)]
            self.head = keras.Sequential([keras.layers.Dense(5), linear(3)])
            self.stem = keras.layers.Dense(width)

        def call(self, inputs, training=False):
            x = self.stem(inputs)
            for step in self.body:
                x = step(x, training=training)
            return self.head(x)

    model = Net(4)
    model(keras.Input((3,)))
    return model


def autoencoder(keras):
    layers = keras.layers

    class Sampling(layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.seed_generator = keras.random.SeedGenerator()

        def call(self, inputs):
            mean, spread = inputs
            batch, size = keras.ops.shape(mean)[0], keras.ops.shape(mean)[1]
            noise = keras.random.normal((batch, size), seed=self.seed_generator)
            return mean + keras.ops.exp(0.5 * spread) * noise

    x = inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(x)
    x = layers.Flatten()(x)
    mean, spread = layers.Dense(2, name="mean")(x), layers.Dense(2, name="spread")(x)
    encoder = keras.Model(
        inputs, [mean, spread, Sampling()([mean, spread])], name="encoder"
    )
    x = code = keras.Input((2,))
    x = layers.Reshape((4, 4, 4))(layers.Dense(64)(x))
    x = layers.Conv2DTranspose(1, 3, activation="sigmoid", strides=2, padding="same")(x)
    decoder = keras.Model(code, x, name="decoder")

    class Whole(keras.Model):
        def __init__(self, encoder, decoder, **options):
            super().__init__(**options)
            self.decoder, self.encoder = decoder, encoder

        def call(self, inputs):
            return self.decoder(self.encoder(inputs)[2])

    model = Whole(encoder, decoder)
    model.build((None, 8, 8, 1))
    return model


def translator(keras):
    layers = keras.layers
    source, target = keras.Input((None, 5)), keras.Input((None, 7))
    _, *state = layers.LSTM(4, return_state=True)(source)
    x, *_ = layers.LSTM(4, return_sequences=True, return_state=True)(
        target, initial_state=state
    )
    both = layers.Bidirectional(layers.GRU(3, return_state=True), merge_mode="ave")(x)
    return keras.Model([source, target], layers.Dense(7)(both[0]))


def shared(keras):
    layers = keras.layers
    tower = keras.Sequential([layers.Dense(4), layers.Dense(3)], name="tower")
    left, right = keras.Input((5,)), keras.Input((5,))
    a, b = tower(left), tower(right)
    c = layers.Concatenate()([a, b, layers.Dense(2)(right)])
    inner = keras.Model(inputs={"l": left, "r": right}, outputs=[c, a])
    x, y = keras.Input((5,)), keras.Input((5,))
    d, e = inner({"r": y, "l": x})
    return keras.Model([x, y], layers.Dense(1)(d) + layers.Dense(1)(e))


def grown(keras):
    layers = keras.layers
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4)])
    model.add(layers.Dense(9))
    model.pop()
    model.add(layers.Dense(5, kernel_initializer=keras.initializers.HeNormal()))
    base = keras.models.clone_model(model)
    top = layers.Dense(2)(base.get_layer("dense").output)
    return keras.Model(base.inputs, top)


def cloned(keras):
    layers = keras.layers
    x = inputs = keras.Input((6, 4))
    y = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)
    x = layers.add([
        x,
        layers.Dense(4, kernel_initializer=keras.initializers.HeNormal())(y),
    ])
    x = layers.MultiHeadAttention(2, 3, dropout=0.1)(x, x)
    x = layers.Dropout(0.1)(layers.GRU(3)(x))
    return keras.models.clone_model(keras.Model(inputs, layers.Dense(2)(x)))


def unused_initializers(keras):
    layers, random = keras.layers, "random_normal"
    norm = {"beta_initializer": random, "gamma_initializer": random}
    return keras.Sequential([
        keras.Input((4,)),
        layers.BatchNormalization(center=False, **norm),
        layers.LayerNormalization(scale=False, **norm),
        layers.Dense(3, use_bias=False, bias_initializer=random),
        layers.Dense(3),
    ])


def seeded_recurrent(keras):
    layers = keras.layers
    x = inputs = keras.Input((4, 3))
    for kind in (layers.SimpleRNN, layers.LSTM, layers.GRU):
        x = layers.Bidirectional(kind(2, return_sequences=True, seed=5))(x)
    return keras.Model(inputs, layers.Dense(2)(x))


def first_shape(keras, **shape):
    model = keras.Sequential([keras.layers.Dense(3, **shape)])
    kernel = {"class_name": "HeNormal", "config": {"seed": 5}}
    model.add(keras.layers.Dense(2, kernel_initializer=kernel))
    model.compile("adam", "mse")
    return model


def built(keras, call):
    model = keras.models.Sequential([keras.layers.Dense(3), keras.layers.Dense(2)])
    call(model)
    return model


def factors(keras):
    layers = keras.layers
    users, items = layers.Input((1,)), layers.Input((1,))
    both = [
        layers.Flatten()(layers.Embedding(n, 4)(x)) for n, x in ((9, users), (7, items))
    ]
    return keras.models.Model([users, items], layers.Dot(axes=1)(both))


def attention(keras):
    layers, sizes = keras.layers, {"kernel_regularizer": keras.regularizers.l2(0.1)}
    x = inputs = keras.Input((6, 4))
    x = layers.add([x, layers.Dense(4, activation=keras.activations.relu, **sizes)(x)])
    x = layers.AdditiveAttention(dropout=0.1)([x, x])
    x = layers.concatenate(
        [layers.Attention(True, "concat")([x, x])[:, :3], x[:, 3:]], axis=1
    )
    x = layers.Lambda(lambda x: x / 255.0)(x)
    x = layers.RNN(layers.GRUCell(3), return_sequences=True)(x)
    x = layers.RNN(layers.LSTMCell(2, unit_forget_bias=False))(x)
    kernel = keras.initializers.he_normal()
    return keras.Model(inputs, layers.Dense(2, kernel_initializer=kernel)(x))


WRITTEN = {
    "input_shape": lambda keras: first_shape(keras, input_shape=(4,)),
    "input_dim": lambda keras: first_shape(keras, input_dim=4),
    "build": lambda keras: built(keras, lambda model: model.build((None, 4))),
    "call": lambda keras: built(keras, lambda model: model(np.zeros((1, 4), np.float32))),
    "factors": factors,
    "attention": attention,
}


IDIOMS = (
    transformer, unused_initializers, seeded_recurrent, subclassed_layers, subclassed_model, autoencoder, translator, shared, grown, cloned,
)  # fmt: skip
CASES = LAYERS | WRITTEN | {f.__name__: f for f in IDIOMS}
