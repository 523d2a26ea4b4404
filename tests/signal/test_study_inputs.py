"""What a study takes: schemes by name, old results; and what it refuses."""

import functools
import math
import re

import numpy as np
import pytest

import jaxinit
from jaxinit.signal import (
    from_json,
    scheme,
    study,
    to_json,
)
from jaxinit.signal.studies.schemes import SCHEME_NAMES
from jaxinit.signal.theory.maps import as_function

small = functools.partial(study, depth=6, width=32, seeds=8)


def test_schemes():
    assert scheme("glorot_normal", "tanh").sigma_w == 1
    assert scheme("he_uniform", "relu").sigma_w == pytest.approx(2**0.5)
    assert scheme("kaiming_normal", "tanh").sigma_w == 5 / 3
    assert scheme("normal:1.3,0.2", "tanh").sigma_b == 0.2
    assert scheme("forward", "tanh").sigma_w == pytest.approx(1.5925374197228314)
    edge = scheme("critical", "gelu")
    assert edge.sigma_w**2 == pytest.approx(1.98305826, abs=1e-8)
    assert edge.first_sigma_w is not None
    assert edge.first_sigma_w**2 + edge.sigma_b**2 == pytest.approx(3.5615528, abs=1e-6)
    assert scheme("critical", "tanh").sigma_w == pytest.approx(1)
    assert scheme("critical:0.2236068", "tanh").sigma_w == pytest.approx(1.32701, abs=1e-5)
    for name in SCHEME_NAMES:
        drawn = scheme(name + ":0.5" * (name == "sparse"), "relu")
        assert drawn.gains(3)[1] == drawn.sigma_w or math.isnan(drawn.sigma_w)
    own = scheme(functools.partial(jaxinit.normal, mean=0.0, std=0.1), "tanh")
    assert own.name == "normal(mean=0.0, std=0.1)"
    assert math.isnan(own.sigma_w)


def test_json_keeps_everything():
    half = study("tanh", "unit_uniform", depth=60, width=16, seeds=2, dtype="float16")
    (back,) = from_json(to_json([half]))
    assert back.settings == half.settings
    for quantity, values in half.values.items():
        np.testing.assert_allclose(back.values[quantity], values, rtol=1e-6)
    with pytest.raises(ValueError, match="from_json: the text must be results of jaxinit"):
        from_json('{"format": 2}')


REFUSALS = [
    (
        lambda: study("tanh", "xavier"),
        ValueError,
        f"study: init must be one of {', '.join(SCHEME_NAMES)}; got init='xavier'. "
        "Did you mean 'xavier_normal'?",
    ),
    (
        lambda: study("tanh", "xavier_norml"),
        ValueError,
        f"study: init must be one of {', '.join(SCHEME_NAMES)}; got init='xavier_norml'. "
        "Did you mean 'xavier_normal'?",
    ),
    (
        lambda: scheme("normal:a", "tanh"),
        ValueError,
        "scheme: what follows the colon must be numbers, with commas between them; got "
        "init='normal:a'. Write for example normal:1.3,0.2.",
    ),
    (
        lambda: scheme("xavier_normal:1,2", "tanh"),
        ValueError,
        "scheme: xavier_normal takes at most 1 numbers; got init='xavier_normal:1,2'. "
        "Leave the others out.",
    ),
    (
        lambda: scheme("critical", "softplus"),
        ValueError,
        "scheme: the activation must have a critical point; got activation='softplus', "
        "which has none for this sigma_b. Try another sigma_b or another activation.",
    ),
    (
        lambda: small("tanh", "delta_orthogonal"),
        ValueError,
        "study: delta_orthogonal needs kind='conv'; got kind='dense'. For dense layers "
        "use orthogonal.",
    ),
    (
        lambda: small(seeds=0),
        ValueError,
        "study: seeds must be an int, at least 1; got seeds=0. Give 1 or more.",
    ),
    (
        lambda: small("tanh", resume=small("tanh", width=16)),
        ValueError,
        "study: resume must be a result of the same settings; got another width. Run it "
        "anew, or write it to another file.",
    ),
    (
        lambda: small("tanh").band("std"),
        ValueError,
        None,
    ),
    (
        lambda: scheme(3, "tanh"),  # pyright: ignore[reportArgumentType]
        TypeError,
        "scheme: init must be a name, an initializer or a Scheme; got init=3. Give for "
        'example "xavier_normal".',
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS)
def test_refusals(call, kind, text):
    pattern = "band: quantity must be one of" if text is None else f"^{re.escape(text)}$"
    with pytest.raises(kind, match=pattern):
        call()


def test_named_functions_are_shared():
    assert as_function("tanh") is as_function("tanh")
