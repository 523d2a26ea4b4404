"""Keras models for the tests, and for the script that recorded their weights."""


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
