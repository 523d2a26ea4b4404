"""The ziggurat of NumPy's ``Generator.standard_normal``, in parallel.

Marsaglia, Tsang, "The ziggurat method for generating random variables", Journal of
Statistical Software 5 (2000). A value takes one word of 64 bits for 98.5 % of the words
and more for the others, so which words begin a value depends on all before. Here every
place of the stream is taken for a beginning; for the few where that would not lead to a
value in one word it is computed how many words it takes; and a walk over these few finds
which of them are reached.
"""

import base64
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _pcg64
from jaxinit.replay._exact import product
from jaxinit.replay._libm import log1p
from jaxinit.replay._rows import enough, places_of

# numpy/random/src/distributions/ziggurat_constants.h: wi_double; the other two tables
# follow from it.
_WIDTHS = np.frombuffer(
    base64.b85decode(
        b"dD#_sJ4w$x#`gW=3yq6Bv|B7ZuTYXaVLL=PxqOv845u&X`~jFeywFT83?rI6_hC3MO#qxcbaHfBF"
        b"RYzB!_`bJNHU*1t-FpVGEJa7LtO$p1@)jjcQ!$nrjnsN^%{DQq9>v}fY@U=F14aO^^sS=KRly6FR"
        b"`M*p1q?yRh$2f?>VGAr~W-QyRoD^bkiDQbtR=dmd*#KfR&{@>VDbJF#@JMJ$$2K(rczXa0LL8qSB"
        b"^3ruatF+BT;=cPg_Gt(d1gL-j_jMfj&YcM3yO%vGp7ns$4hWU;6`n9okBE(@tV>K-hDM`NixM#VU"
        b"e$+@XKET^R0%nqtNS<QECXJV>6FcuJQt+c8<oNN<qu?4F<DSASOgjK6NI-gRGHl(XOGJ?M<*72)6"
        b"^G;d$a6YU&VLLLV6N;=nizagZ$<(YoNVk9vpB}9|5Fg|zooB5)!?+^=&abUJQ+DyGI`^$S{_WDW>"
        b"piYK0B?FT>4UC3&Vu>9I?1j)CSve}=MAqsi1yf2_EE1quGfd2ZI!P)tS<U}Q`oOO>@-5)Rt>N`nv"
        b"Xg4KrXO6{G}G2>Q1mc5TJ5fR&TI83-oc2hL5m36JflBeXp=Qf6Pl}J<qT_YX}xg$nLN_?iH0XAP%"
        b"uSz7H`6M=h~DL6MH1K1{JZ9w5ZO2y3xCG}?F?r-`vVh;8ms8>q27%PRQzX2!8RF4W+Yi{!C9pP)d"
        b"QiUP7c>BhuzWgxOVAH(T=9X_%=`)jETv|F+~f72aiDtWRz8`l}fftIp7+Ag?ayR))9Q@G(`*wC^("
        b"j;YJ&+3m7C*GO&+!3wiHFuC;MjwiD`p<X6%L`1VZ)l$m3;$X8pYFGunYJIajWU{hv-I=pI13kFEJ"
        b"GQet;2l<&hSIY<gIaRlzV5R;be`aG<qEVsU38```zEwJq%b__07JAqUB}9E_g=I-Hp6C~-+Ht>FO"
        b"Ntvx|Xy&T|ol&hqAOh+!3>^NzSx91*SL_0P3_nVpU%6s|B?@T8j$uO(C^BPiAV><~+4L$g&$wcUZ"
        b"MNcwbcx0CcrH6on4PfseI3SsNrH{i?M*J#&50a>lhh(~K{B<KeYDI9{K~PyMw#!yltyxEQuPqOhX"
        b"q9W=H)3nsS&flszPa+b+g;%c@$H!-n;LWZ_Hv9eGpqM^1tyF;_+0ll_7Qqw45V%WAkRQO>r#Pha1"
        b">u8JjCl9wg#uRB$jw-i2-0pDP_eHlnA9Lk3Wns5GN%Zgf)_k`-lfAmgO_;Yl2^5Pw%ComT`y$)(O"
        b"wYGG=iYOS*6O!BAL@prX9l=Dc818>03x_N6`zUDqCL1gz4g%_PFc7-#eRBk19iAOE%!%X!;rW<L%"
        b";=+j;y#moD89>WyrWZCu&4dN#wXZkF|3tIsmymM}sKbI2^e={0i?9MmV`VilPH~VpO?2?$vO+j&Q"
        b"j=F)A*J%Z#}^znMRi8L7EEEZNnJdBwRr5p-`W?BTgQO49l!a{jqIk~aA{3>&&UTgajzyEnQ#h`S4"
        b"(e^k0Wq^U}BT5-BOJu#qUOpdxd2=SjjR;#)^&h=W&c*wduHnWT2wB@=y8ll5a3j@16TbP>gd?33#"
        b"01V)u3O>6$13k_`wOhM9Cy76~eR;b)Jon}CWS6@<ZY71=Yqh&PqQEX|lheCAgRX&_-0{0Spcd?GN"
        b"D#a{Eqd_f*Dky~91U(0j7_{e1&8biW^BAX7pCjrW{bQ$tD-i&kE*;pkk&iL;mN!_H{fV6Ug^9%Zj"
        b"XyH1_`}9An!L2+bF#}N5(T1-blSXBk|{!5NW+UrTf?PbBVn?aBd)(397w34oUp@(#pL&H!f0@(d)"
        b"fD9MVbq1`WPE_D1T&bS}O;h|$5B98kVICH|K$0CK)O3co5#A(Xy62ygemfwsOpI;RkJBiX(@sq6t"
        b"^2>iZ0AydMNG9SM@ZB4fiq(Z+uXaUI}UuM5Nf|rQ|W{ST&zanuMyRN@Hh37BQVAH=m3-%bnS@^#^"
        b"b)eHn)DFNrN6C)@s3E{Ss{*NmsWiYm$Mrr=+DE`VezUFiJ6pg!XeOs4&~Csy7cOIun1aAORHEnzm"
        b"zKah#K3WN&8omWNYw7pJ-@&_Fg>a?>eIkHlVuUl)abxGwx6c&|NX!`L2w`hZWF;gHC?-#At}K;Z3"
        b")C_9Y4W5J1$^IWL3dD^X{EH`D?*EVG`1G--5wBtm{rz8k)g8jxT?At+By8l%{d1oXNpFIj-dU>*2"
        b"vX0omfhpZdW(fy@M*yc5Da?$d92M=ioUB%G|IMMuIs;8=FYykWvTE?KDhvV6ikcn){XE||hRQVJ?"
        b"lH?+b$m)n*x)X>5_^?0eV4er7`?ygqS><hy@qoinFdn&^`qY|zK#7V<EK&Uf%(rLpy3PDzqvx>t!"
        b"`iQP@b*#fYrUVzWC(pw?b@X7W+w#La+U2>Nq!+|IlwMR7m_5Wi6*{Lx&Sb<qyhEIIVvWQ+Ct7Qrb"
        b"GO7i0*TEHCF8_AL9FRhpAf}7LVh|@5kSQ}8{|r<v2n#b*^P0Fz@^1J{?IxkirmFKOdf{MX%@yj>S"
        b"_Rc&Qr!b!{wj8K$XTkGU5r1Yum;=G<sj~C@04}a|Q`km3hZJjLz2dE!4+6H1a7013Ab%6nv_`539"
        b"&LmPBuq;4aBLt5-k)?#szMT6dIq+>gpUvHf^BADGKLGpz}Nv^&i_"
    )
)
_R, _INVERSE_R = 3.6541528853610087963519472518, 0.27366123732975827203338247596
_EDGES = _WIDTHS * 2.0**52
_HEIGHTS = np.exp(-0.5 * _EDGES * _EDGES)
_HEIGHTS[0] = 1.0
_LIMITS = np.zeros(256, np.uint64)
_LIMITS[0] = np.rint(_EDGES[255] / _EDGES[0] * 2.0**52)
_LIMITS[2:] = np.rint(_EDGES[1:255] / _EDGES[2:] * 2.0**52)
_AHEAD = 40
"""Words that one value may take at most; 10^-20 of the tail would take more."""


def _unit(words: jax.Array) -> jax.Array:
    return (words >> 11).astype(jnp.float64) * 2.0**-53


def _first_try(words: jax.Array) -> tuple[jax.Array, ...]:
    """Return of words that begin a value: layer, value, upper bits, and success."""
    layer = (words & np.uint64(0xFF)).astype(jnp.int32)
    size = words >> 9 & np.uint64((1 << 52) - 1)
    value = size.astype(jnp.float64) * jnp.asarray(_WIDTHS)[layer]
    value = jnp.where(words >> 8 & np.uint64(1) == 1, -value, value)
    return layer, value, size, size < jnp.asarray(_LIMITS)[layer]


def _under(layer: jax.Array, value: jax.Array, word: jax.Array) -> jax.Array:
    """Return whether values beside the box of their layer are below the curve."""
    heights = jnp.asarray(_HEIGHTS)
    low, high = heights[layer], heights[layer - 1]
    return (high - low) * _unit(word) + low < jnp.exp(-0.5 * value * value)


def _tails(words: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the sizes of values of the tail, and how many words they take.

    The lowest layer has no box beside it but the tail: pairs of words, until one fits.
    """

    def step(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        used, sizes, lengths = carry
        index = place[:, None] + used + np.arange(2, dtype=np.int32)
        minus = log1p(-_unit(words[index]))
        far = product(minus[:, 0], jnp.float64(-_INVERSE_R))
        up = -minus[:, 1]
        ends = (lengths == 0) & (up + up > far * far)
        used = used + np.int32(2)
        return used, jnp.where(ends, _R + far, sizes), jnp.where(ends, used, lengths)

    def more(carry: tuple[jax.Array, ...]) -> jax.Array:
        return (carry[0] < _AHEAD) & jnp.any(carry[2] == 0)

    zero = jnp.zeros(place.shape)
    start = jnp.int32(1), zero, zero.astype(jnp.int32)
    _, sizes, lengths = jax.lax.while_loop(more, step, start)
    return sizes, lengths


def rooms(starts: int) -> tuple[int, int]:
    """Return for how many words that are no value at once, and for how many tails is room.

    They are 1.5 % and 0.03 % of the words; the bounds fail once in 10^20 draws.
    """
    spread = math.sqrt(starts)
    room = math.ceil(starts / 64 + 1.25 * spread + 32)
    return room, math.ceil(starts / 3000 + spread / 7 + 16)


def standard_normal(
    state: jax.Array, increment: jax.Array, count: jax.Array, length: int
) -> tuple[jax.Array, jax.Array]:
    """Return the state after ``count`` normals, at least 1, and ``length`` values.

    The first ``count`` are the normals, float64; how many these are may be traced.
    """
    starts = enough(length, 0.975)  # a value takes 1.02 words
    room, few = rooms(starts)
    words = _pcg64.draw(state, increment, starts + _AHEAD)
    layer, fast, bits, success = _first_try(words[:starts])
    special, found = places_of(~success, room)
    layer, other = layer[special], fast[special]
    given, lowest = _under(layer, other, words[special + 1]), layer == 0
    minus = bits[special] >> 8 & np.uint64(1) == 1
    index = jnp.arange(room, dtype=jnp.int32)
    due = lowest & (index < found)
    tail = jax.lax.sort(jnp.where(due, index, np.int32(room)))[:few]
    sizes, lengths = _tails(words, special[jnp.minimum(tail, np.int32(room - 1))])
    taken = jnp.full((room,), 2, jnp.int32).at[tail].set(lengths, mode="drop")
    sizes = other.at[tail].set(sizes, mode="drop")
    other = jnp.where(lowest & minus, -sizes, sizes)

    def step(stand: jax.Array, one: Any) -> tuple[jax.Array, jax.Array]:
        place, length, real = one
        here = real & (place >= stand)
        return jnp.where(here, place + length, stand), here

    table = special, taken, index < found
    _, reached = jax.lax.scan(step, jnp.int32(0), table)
    # A value that takes several words skips those that would begin others.
    inner = np.arange(1, _AHEAD, dtype=np.int32)
    reach = jnp.where(reached, taken, np.int32(0))
    last = reach.at[tail].get(mode="fill", fill_value=0)[:, None]
    far = special.at[tail].get(mode="clip")[:, None] + inner
    far = jnp.where(inner < last, far, np.int32(starts)).reshape(-1)
    near = jnp.where(reached, special + 1, np.int32(starts))
    # The words that a value takes which begins here; 0 where none does.
    lengths = jnp.where(success, np.int32(1), np.int32(0))
    target = jnp.where(reached, special, starts)
    own = jnp.where(given | lowest, taken, np.int32(0))
    lengths = lengths.at[jnp.concatenate([target, near, far])].set(
        jnp.concatenate([own, jnp.zeros((room + far.size,), jnp.int32)]), mode="drop"
    )
    drawn = fast.at[target].set(other, mode="drop")
    chosen, _ = places_of(lengths > 0, length)
    last = chosen[count - 1]
    state = _pcg64.advance(state, increment, last + lengths[last])
    return state, drawn[chosen]
