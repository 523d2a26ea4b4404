"""Plants faults in a copy of the package, one at a time, and says whether tests find them.

Run by hand from the root: ``python tests/mutate.py [name ...]``, with parts of names to
choose some. A fault that no test finds asks for a sharper test; one whose old text is no
longer there, or whose tests are gone, is stale and asks for a new line here.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent


class Fault(NamedTuple):
    """A fault; tests are files below tests/, with ``::name`` and ``::name`` behind."""

    name: str
    file: str
    old: str
    new: str
    tests: str


F = Fault
FAULTS = (
    # Bits and samples
    F("dependence is forgotten", "trace/moments/dependencies", "whole = self._traced_back(full) if len(every) > 1 else full", "whole = full", "trace/test_dependence.py::gain_is_that_of_draws"),
    F("least of k greatest", "trace/moments/random_axes", "inside = binomial_tails(self.count, below)[ranks + 1].mean(0)", "inside = binomial_tails(self.count, below)[ranks].mean(0)", "trace/test_dependence.py::gain_is_that_of_draws"),
    F("frequency of a part", "trace/roles/resolve", " and record.entered == {record.frequency}", "", "trace/test_dependence.py::a_frequency_counts_only_where_all_of_the_output_enters_a_sine"),
    F("rotation of threefry", "_bits", "(13, 15, 26, 6)", "(13, 15, 26, 7)", "test_bits.py::known_answers"),
    F("carry of the index", "_bits", "+ _high_product(along, stride) + carry", "+ _high_product(along, stride)", "test_bits.py::index_of_huge_arrays"),
    F("axis beyond 2^32", "_bits", "if length > 2**32:", "if False:", "test_bits.py::index_of_huge_arrays"),
    F("inner keys are splits", "_bits", "(jnp.uint32(_OURS), jnp.uint32(number))", "(jnp.uint32(0), jnp.uint32(number))", "test_bits.py::inner_streams_are_no_keys_of_users"),
    F("coefficient of the normal", "_samples", "0.4560805771,", "0.4565805771,", "test_samples.py::normal"),
    F("truncated std off by 0.3 %", "_samples", "TRUNCATED_STD = 0.8796", "TRUNCATED_STD = 0.8822", "test_samples.py::constants"),
    F("std of the disc", "_samples", "DISC_TRUNCATED_STD = 0.96", "DISC_TRUNCATED_STD = 0.98", "test_samples.py::constants"),
    F("complex normal of variance 2", "_samples", "type(math.sqrt(0.5))", "type(1.0)", "test_samples.py::complex_variance"),
    F("product that is fused", "_samples", "    bits = {4: jnp.uint32, 8", "    return scale * sample\n    bits = {4: jnp.uint32, 8", "initializers/test_generic.py::what_follows_changes_no_bit"),
    F("rounded twice", "_draw", "return result.astype(draw.dtype)", "return result.astype(jnp.bfloat16).astype(draw.dtype)", "initializers/test_families.py::same_law_and_numbers_as_jax"),
    F("window at 0", "_draw", "block = (draw.window, start) if", "block = (draw.window, start * 0) if", "initializers/test_generic.py::window"),
    F("limits of uniform", "_draw", "if limits is not None:", "if False:", "initializers/test_families.py::uniform_bounds_hold_where_the_centre_is_rounded"),
    F("spread below the spacing", "_scale", "if spread < spacing:", "if spread < 0:", "test_errors.py"),
    # Initializers, gains, layouts
    F("dirac centre of even windows", "initializers/identity", "(axis, lengths[axis] // 2)", "(axis, (lengths[axis] - 1) // 2)", "initializers/test_families.py::centre_of_even_windows"),
    F("delta centre of even windows", "initializers/orthogonal", "(lengths[axis] - 1) // 2)", "lengths[axis] // 2)", "initializers/test_families.py::centre_of_even_windows"),
    F("haar without signs", "initializers/orthogonal", "jnp.where(single, sign, -sign)", "jnp.where(single, 1, -1)", "initializers/test_families.py::orthogonal_is_haar"),
    F("sparse rounds down", "initializers/sparse", "math.ceil(Fraction", "math.floor(Fraction", "initializers/test_families.py::sparse_zeros"),
    F("scale without fan", "initializers/scaled", "f.sqrt(v), variance", "v, variance", "initializers/test_families.py::standard_deviation"),
    F("xavier by fan_in", "initializers/xavier", '"uniform", "fan_avg", gain, key', '"uniform", "fan_in", gain, key', "initializers/test_families.py::standard_deviation"),
    F("constant rounded twice", "initializers/constant", "    if dtype.name not in NARROW_FLOATS:", "    if True:", "initializers/test_families.py::constant_is_rounded_once"),
    F("kurtosis of per_slice", "initializers/wrappers", "inner.kurtosis * fourth / square**2", "inner.kurtosis", "models/test_plan.py::per_slice_states_the_moments_of_all_slices_together"),
    F("std of a mixture", "_moments", "np.average(variances + off**2", "np.average(variances", "initializers/test_descriptors.py initializers/test_composed.py::described"),
    F("slope of leaky_relu", "_gains", "2 / (1 + (param or 0.0) ** 2)", "2 / (1 + (param or 0.0))", "test_gains.py::names_and_callables test_gains.py::pytorch_table"),
    F("gated gain without E f^2", "_gains", "kept += expectation", "kept = expectation", "test_gains.py::gated_units"),
    F("kinks are not found", "_gaussian", "np.union1d(edges, pieces.breaks)", "edges", "test_gaussian.py test_gains.py"),
    F("groups counted twice", "_layout", "count[layout.grouped] //= layout.groups", "count[layout.grouped] //= 1", "test_layout.py::convolutions"),
    F("fan_out without window", "_layout", 'max(1, count["O"] * window)', 'max(1, count["O"])', "test_layout.py::convolutions"),
    # Assertions
    F("gram of columns for rows", "asserts/_matrices", "np.swapaxes(m, -1, -2) if by_rows else m\n        product = np", "m\n        product = np", "asserts/test_faults.py::orthogonality"),
    F("rate of a limit halved", "asserts/_limits", "depth = rate / shape", "depth = rate / shape / 2", "asserts/test_limits.py::variance_limits_are_the_reference_ones"),
    F("mean counts nothing", "asserts/_moments", "shift = total / x.size", "shift = total / x.size**2", "asserts/test_faults.py::a_shifted_mean"),
    # Models
    F("last rule wins", "models/rules", "first = next((r for r in rules", "first = next((r for r in reversed(rules)", "models/test_plan.py::first_matching_rule_wins"),
    F("rules without effect", "models/rules", "        if not taken:\n            _no_match", "        if False:\n            _no_match", "models/test_rules.py"),
    F("plan forgets the traced layout", "models/plan", 'if use is not None and use.role == "weight":', "if False:", "models/test_plan.py::traced_layout_reaches_the_rules"),
    F("kept leaves without values", "models/plan", "    _check_kept(rows, leaves)\n    return", "    return", "models/test_plan.py::kept_leaves_need_values"),
    F("exit code of an audit", "models/command", "int(bool(self.findings and self.findings.off))", "0", "models/test_command.py test_cli_models.py"),
    F("star crosses slashes", "_globs", "nodes.append(_Many(_IN_NAME))", "nodes.append(_Many(_ANY))", "models/test_paths.py::globs"),
    F("half a path's hash", "_paths", "digest()[:8]", "digest()[8:16]", "models/test_paths.py::hash_is_pinned"),
    F("key of a leaf", "models/keys", "for half in words.T:", "for half in words.T[:1]:", "models/test_paths.py::host_keys_are_those_of_jax"),
    F("placement of a shape", "models/placement", "return leaf.sharding\n    if is_traced", "return None\n    if is_traced", "models/test_placement.py::leaves_keep_the_placement_that_they_have"),
    F("a grown table at the end", "models/checkpoint", "slice(0, n) for n in", "slice(-n, None) for n in", "models/test_checkpoint.py::a_grown_table"),
    F("dtype is not checked", "models/checkpoint", "        _check_value(path, value, leaf)\n", "", "models/test_checkpoint.py::what_does_not_fit_is_listed"),
    F("0.0 is -0.0", "models/initialize", "text = repr(value) if", 'text = "" if', "models/test_plan.py::custom_initializers_are_never_stale models/test_plan.py::values_are_those_of_single_calls"),
    F("filled by options", "models/initialize", "!= 0 or has_options or not", "!= 0 or not", "models/test_plan.py"),
    F("everything is needed", "_pieces", "return sorted(seen)", "return list(range(len(steps)))", "models/test_cold_start.py::steps_that_a_result_needs"),
    F("tracer runs dead code", "_jaxpr", "if not (equation.effects or any(", "if False and not (equation.effects or any(", "models/test_trace_roles.py::what_no_output_needs_is_no_use"),
    F("bits of fused keys", "_fused", "counter = (jnp.uint32(0), guarded(message))", "counter = (jnp.uint32(1), guarded(message))", "test_fused.py::split_and_fold_in"),
    F("fused program keeps plain keys", "_fused_program", 'if name in {"random_wrap", "random_seed"}:', "if name in {}:", "test_fused.py::a_program_with_fused_keys"),
    # Reading models
    F("average pooling has no rule", "trace/roles/rules", '(f"reduce_window{name}" for name in _WINDOWS),', "(),", "models/test_trace_between.py::what_stands_between_is_named"),
    F("average pooling is maximum", "trace/roles/reductions", 'if name.endswith("sum") else', "if False else", "models/test_trace_between.py::average_pooling_is_named_and_its_division_is_no_activation"),
    F("size of the window is a factor", "trace/roles/merging", "if pooled and len(signals) == 1", "if False and len(signals) == 1", "models/test_trace_between.py::average_pooling_is_named_and_its_division_is_no_activation"),
    F("parts of an output", "trace/roles/resolve", "outputs //= len(parts[1])", "outputs //= 1", "models/test_trace_fused.py"),
    F("strides of a transposed convolution", "trace/roles/resolve", "inputs * window / first.thinning", "inputs * window", "models/test_trace_products.py"),
    F("neutral value of a scale", "models/auto", "function = zeros if use.neutral == 0 else ones", "function = zeros", "models/test_auto.py::scales_are_ones_and_offsets_zeros"),
    F("factor of auto", "models/auto", "descriptor.with_gain(gain / factor)", "descriptor.with_gain(gain * factor)", "models/test_auto.py trace/test_architectures.py"),
    F("rest of a sum", "trace/moments/reductions", "rest = count * x.expect(centre, whole) - centre", "rest = count * x.expect(centre, whole)", "signal/test_tracking_moments.py::closed_forms"),
    F("fan of a probe", "trace/probes/products", "// max(1, shape[out_axis])", "// max(1, shape[0])", "signal/test_probes.py::terms_of_a_convolution"),
    F("audit bound doubled", "models/audit", "math.sqrt((kurtosis - 1) / count) / 2", "math.sqrt((kurtosis - 1) / count)", "models/test_audit.py::the_bound_is_that_of_a_standard_deviation"),
    F("false alarm of one side", "models/audit", "normal_quantile(float(chance) / 2)", "normal_quantile(float(chance))", "models/test_audit.py::the_bound_is_that_of_a_standard_deviation models/test_audit.py::false_alarms_are_as_rare_as_is_said"),
    # Presets
    F("fixup exponent", "presets/depth", "(-1 / (2 * layers - 2))", "(-1 / (2 * layers))", "models/test_presets.py::deepnorm_fixup_and_t_fixup_on_a_model"),
    F("gpt2 residual", "presets/transformers", "std / math.sqrt(2 * layers)", "std / math.sqrt(layers)", "models/test_presets.py::gpt2_on_a_real_model"),
    F("siren first layer", "presets/siren", "math.sqrt(6 / fan_in(use)) / frequency", "math.sqrt(6 / fan_in(use))", "models/test_presets.py::siren_on_a_real_field"),
    F("rank-stabilized lora", "presets/lora", "math.sqrt(size) if rank_stabilized", "size if rank_stabilized", "presets/test_schemes.py::rs_lora_keeps_the_size_of_the_update"),
    # Signal theory and studies
    F("backward theory without gain^2", "signal/studies/prediction", "np.log(gain**2 * at.slope_square)", "np.log(at.slope_square)", "signal/test_theory.py::gradients_grow_by_chi_1_a_layer signal/test_theory.py::gradients_of_linear_networks"),
    F("backward branches without gain^2", "signal/studies/prediction", "1 + s**2 * gain**2 * float", "1 + s**2 * float", "signal/test_theory.py::gradients_of_linear_networks"),
    F("backward norms without gain^2", "signal/studies/prediction", "gain**2 * float(at.slope_square) / length", "float(at.slope_square) / length", "signal/test_theory.py::gradients_of_linear_networks"),
    F("correlation without biases", "signal/theory/maps", "(sigma_w**2 * forward + sigma_b**2) / q", "(sigma_w**2 * forward) / q", "signal/test_theory.py::fixed_points_and_depth_scales"),
    F("saturated at a half", "signal/studies/measures", "(slope < 0.1)", "(slope < 0.5)", "signal/test_study.py::a_unit_is_saturated_where_its_slope_is_below_a_tenth"),
    F("jacobian without scale", "signal/studies/jacobian", "scale + jnp.log10(safe)", "scale", "signal/test_recommend.py::jacobian_is_the_gradient signal/test_recommend.py::a_product_that_underflows_is_kept"),
    # Replay
    F("torch tails of 16-bit dtypes", "replay/_torch_stream", "    if dtype.itemsize == 2:\n        return size // BLOCK * BLOCK + BLOCK\n", "", "replay/test_torch.py::recorded replay/test_torch.py::model_recorded"),
    F("torch tail is not drawn again", "replay/_torch_stream", "(np.int32(size - BLOCK),)", "(np.int32(full * BLOCK),)", "replay/test_torch.py::recorded"),
    F("where a block ends", "replay/_rows", "return (filled + found, after(each * rows), end, last, out), None", "return (filled + rows, after(each * rows), end, last, out), None", "replay/test_rows.py::numpy_draws_end_and_go_on_at_any_place"),
    F("state of the last row", "replay/_rows", "here = place >= 0 ", "here = place > 0 ", "replay/test_rows.py::numpy_draws_end_and_go_on_at_any_place"),
    F("tries that are too few", "replay/_rows", "(count + 8 * math.sqrt(count)) / share) + 64", "(count + 4 * math.sqrt(count)) / share) + 64", "replay/test_rows.py::enough_tries_fail_once_in_10_to_the_20"),
    F("window across two states", "replay/_mt19937", "jnp.where(state > 0, before, window)", "before", "replay/test_rows.py::the_window_after_any_number_of_used_words"),
    F("words of many seeds", "replay/_mt19937", "windows.reshape(-1, LENGTH)", "windows.reshape(LENGTH, -1).T", "replay/test_rows.py::many_seeds_at_once_over_several_blocks"),
    F("sign of a zero", "replay/_exact", "jnp.where(total == 0, x * y, total + error)", "total + error", "replay/test_numpy.py::signed_zeros"),
    F("tempering", "replay/_mt19937", "0xEFC60000", "0xEFC40000", "replay/test_generators.py::mt19937_of_the_default_seed replay/test_generators.py::mt19937_seeded_by_an_array"),
    F("rotation of PCG64", "replay/_pcg64", "high >> 58", "high >> 59", "replay/test_generators.py::pcg64_words"),
    F("tail of the ziggurat", "replay/_ziggurat", "jnp.where(ends, used, lengths)", "jnp.where(ends, used - 1, lengths)", "replay/test_numpy.py::generator_normals_of_a_million"),
    F("sign of the ziggurat", "replay/_ziggurat", "words >> 8 & np.uint64(1) == 1, -value", "words >> 8 & np.uint64(1) == 0, -value", "replay/test_numpy.py::generator_normals_of_a_million"),
    F("doubles of NumPy", "replay/_numpy_floats", "(first >> 5).astype", "(first >> 6).astype", "replay/test_numpy.py::legacy_recorded"),
    F("tensorflow's least uniform", "replay/_tf_values", "np.float32(1.0e-7)", "np.float32(1.0e-6)", "replay/test_tensorflow.py::normals_of_a_uniform_number_that_is_0"),
    F("tensorflow's reserve", "replay/_tf_values", "np.uint64(_RESERVED)", "np.uint64(64)", "replay/test_tensorflow.py::recorded"),
    # Adapters and the command
    F("gates of an LSTM", "equinox", "gates = 3 if isinstance(layer, nn.GRUCell) else 4", "gates = 3", "test_equinox.py::xavier_of_gates_has_the_fans_of_one_gate"),
    F("stack of a flax layer", "flax", 'axes[:at] + "B" * extra + axes[at:]', 'axes + "B" * extra', "test_flax.py::nnx_stacks"),
    F("options of a haiku call", "haiku", "*x, **options | more)[0]", "*x, **more)[0]", "test_haiku.py::forward_with_state"),
    F("points of a sweep", "cli/studies", "np.linspace(low, high, count)", "np.linspace(low, high, count + 1)", "test_cli.py::sweep"),
    F("commas of schemes", "cli/studies", 'part.strip()[:1] in "0123456789."', 'part.strip()[:1] in "."', "test_cli.py::compare"),
)  # fmt: skip


def run_tests(tree: pathlib.Path, tests: list[str]) -> tuple[int, list[str]]:
    """Run tests in a copy of the project; return the exit status and what was printed."""
    # Without bytecode, whose date and size may be those of the fault before.
    own = {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        check=False,
        cwd=tree,
        env=os.environ | own,
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout.splitlines() or [run.stderr[-200:]]


def verdict(fault: Fault, tree: pathlib.Path) -> tuple[str, str]:
    """Plant a fault, run its tests, mend it again; return what came of it and why."""
    file = tree / "jaxinit" / f"{fault.file}.py"
    text = file.read_text() if file.is_file() else ""
    if text.count(fault.old) != 1:
        return "stale", f"{text.count(fault.old)} places in {fault.file}.py"
    tests = ["tests/" + test.replace("::", "::test_") for test in fault.tests.split()]
    file.write_text(text.replace(fault.old, fault.new))
    status, lines = run_tests(tree, tests)
    file.write_text(text)
    red = [line.split(" ", 1)[1] for line in lines if line.startswith("FAILED")]
    if status != 1 or not red:
        return ("SURVIVED" if status == 0 else "stale"), lines[-1]
    test = red[0].split(" - ")[0]
    if run_tests(tree, [test.partition("[")[0]])[0]:
        return "stale", f"{test} fails without the fault"
    return "killed", test


def main(names: list[str]) -> int:
    chosen = [f for f in FAULTS if not names or any(n in f.name for n in names)]
    counts: dict[str, int] = {"killed": 0, "SURVIVED": 0, "stale": 0}
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        kinds = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info")
        shutil.copytree(ROOT, tree, ignore=kinds)
        for fault in chosen:
            start = time.monotonic()
            result, why = verdict(fault, tree)
            counts[result] += 1
            spent = time.monotonic() - start
            print(f"{result:8} {spent:5.0f} s  {fault.name:36} {why}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return 1 if counts["killed"] < len(chosen) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
