"""The rules that mend what an audit flags, as Python that can be pasted."""

import json
import re
from collections.abc import Sequence

from jaxinit._globs import compile_glob
from jaxinit._groups import wildcard
from jaxinit._layout import compute_fans
from jaxinit.models.schemes import kind_of
from jaxinit.trace.use import ParamUse

_FLAX = re.compile(r"(^|/)kernel$")


def initializer_text(use: ParamUse, scheme: str, kurtosis: float) -> str:
    """Return the initializer that gives a weight what its use asks for, as Python.

    Args:
        use: How the model uses the weight.
        scheme: The scheme that the rest of the model follows.
        kurtosis: That of the weight's entries, which tells the distribution.
    """
    kind, gain = kind_of(kurtosis), use.gain or 1.0
    options: list[str] = []
    if scheme.startswith("kaiming"):
        name = "kaiming"
        options.append(f"gain={gain:.5g}" if "gain" in scheme else 'nonlinearity="relu"')
        if scheme.endswith("fan_out"):
            options.append('mode="fan_out"')
        gain = gain if "gain" in scheme else 2**0.5
    elif scheme.startswith("xavier"):
        name, gain = "xavier", gain if "gain" in scheme else 1.0
        options += [f"gain={gain:.5g}"] if gain != 1 else []
    elif scheme == "pytorch layers":
        name, kind, gain = "lecun", "uniform", 3**-0.5
        options.append(f"gain={gain:.5g}")
    else:
        name, gain = "lecun", 1.0
    factor = abs(use.factor * use.output_factor)
    if factor != 1:
        options = [text for text in options if not text.startswith(("gain", "nonlin"))]
        options.append(f"gain={gain / factor:.5g}")
    options.append(_layout_text(use))
    return f"partial(jaxinit.{name}_{kind}, {', '.join(options)})"


def _layout_text(use: ParamUse) -> str:
    layout, fans = use.layout, use.fans
    if layout is not None and compute_fans(use.shape, layout) == fans:
        if layout.groups == 1:
            return f'layout="{layout.axes}"'
        return f'layout=jaxinit.Layout("{layout.axes}", groups={layout.groups})'
    assert fans is not None
    return f"layout=jaxinit.Fans({fans.fan_in:g}, {fans.fan_out:g})"


def globs_for(paths: Sequence[str], others: Sequence[str]) -> list[str]:
    """Return globs that match the paths and none of the others.

    Args:
        paths: Paths that are to be matched.
        others: All other paths of the model.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        groups.setdefault(re.sub(r"\d+", "*", path), []).append(path)
    result = []
    for group in groups.values():
        glob = wildcard([_escaped(path) for path in group])
        found = compile_glob(glob)
        if any(found.matches(path) for path in others):
            result += [_escaped(path) for path in group]
        else:
            result.append(glob)
    return result


def _escaped(path: str) -> str:
    return re.sub(r"([*?\[{])", r"[\1]", path)


def rules_text(mends: Sequence[tuple[str, str]], paths: Sequence[str]) -> str:
    """Return the rules that mend a model, with what is to be done with them.

    Args:
        mends: The path and the initializer of every flagged leaf.
        paths: All paths of the model.
    """
    by_text: dict[str, list[str]] = {}
    for path, text in mends:
        by_text.setdefault(text, []).append(path)
    lines = []
    for text, own in by_text.items():
        globs = globs_for(own, [path for path in paths if path not in own])
        lines += [f"    ({json.dumps(glob)}, {text})," for glob in globs]
    shown = ["from functools import partial", "", "import jaxinit", "", "rules = ["]
    shown += [*lines, '    ("**", jaxinit.keep),', "]"]
    shown.append("params = jaxinit.initialize(key, params, rules)")
    flax = [t for t, own in by_text.items() if all(_FLAX.search(path) for path in own)]
    if flax:
        shown += ["", "# or in the layer itself:"]
        shown += [f"# kernel_init={text}" for text in flax]
    return "\n".join(shown)
