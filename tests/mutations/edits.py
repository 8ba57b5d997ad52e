"""The mistakes that the tests must catch, each as an edit of the source; see run.py.

Every edit names text that occurs once in its file. When the source moves on, move the edit along:
what counts is the mistake, not the line.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One mistake, in one framework.

    Attributes:
        mistake: in words.
        framework: "core", "torch", "keras", "tf_keras", "gluon" or "command".
        path: the file that is changed.
        edits: what is replaced by what.
        test: the test that must fail.
    """

    mistake: str
    framework: str
    path: str
    edits: dict[str, str]
    test: str

    @property
    def id(self) -> str:
        return f"{self.framework}: {self.mistake}"


GROUPING = "the official grouping"
IDENTITY = "the identity is left out"
DENSE_IDENTITY = "the identity is left out, g = 1"
TURNED = "D is transposed"
DENSE_TURNED = "D is transposed, g = 1"
DEPTHWISE_TURNED = "D is transposed, depthwise"
RESIDUAL = "D's own part is dropped"
DENSE_RESIDUAL = "D's own part is dropped, g = 1"
STRIDE = "feature composition ignores the stride"
COPIES = "copies of the identity in W_extra are dropped"
FOLD = "fold forgets D"
IMAGES = "D is transposed, W read as images"
MIXED = "the experts' biases are not mixed"
BATCH = "the batch is not folded into the groups"
OF_GROUPS = "the outputs of every expert are not sorted by group"
SORTED = "the mixed kernels are not sorted by group"
CORNER = "the zeros of the 2 x 2 convolution change sides"
AXES = "the pair's strides change axes"
GROUPS = "every group uses the first one's D"
ROWS = "the authors' TensorFlow rows of D keep their order"
OF_GROUPS_1X1 = "feature composition multiplies the groups crosswise"
GRADIENT = "the identity is left out of W's gradient"
FOLLOWS = "a copy forgets what follows from variables"
BESIDE = "a copy forgets what is held beside variables"
NAMES = "a copy has other names"
SLOTS = "an optimizer goes on remembering D"
DEPENDENCY = "a folded layer's checkpoints go on holding D"
NAMED = "D is not called as its layer is"
AVERAGES = "averages of W outlive it"
COMPENSATED = "the kernel does not make up for the authors' columns"
ONLY_BUILT = "a subclass that computes something else is converted"


def _forgets(optimizer: str) -> str:
    test = "test_an_optimizer_forgets_D_when_its_model_is_folded_in_place"
    return f"tests/tf_keras_adapter/test_optimizers.py::{test}[{optimizer}]"


def _copy_of(model: str, adapter: str) -> str:
    test = "test_a_copy_computes_the_same_and_is_called_the_same"
    return f"tests/{adapter}_adapter/test_copying.py::{test}[{model}]"


def _star(backend: str, case: str, composition: str = "kernel", what: str = "forward_is") -> str:
    name = f"test_{what}_bitwise_the_oracle_on_integers[{backend}-{case}-{composition}]"
    return f"tests/star/test_conv.py::{name}"


def _condconv(backend: str, case: str, evaluation: str) -> str:
    name = f"test_forward_is_bitwise_the_oracle_on_integers[{backend}-{case}-{evaluation}]"
    return f"tests/star/test_condconv.py::{name}"


def _xsepconv(backend: str, case: str) -> str:
    name = f"test_forward_is_bitwise_the_oracle_on_integers[{backend}-{case}]"
    return f"tests/star/test_xsepconv.py::{name}"


def _fold(backend: str) -> str:
    name = "test_fold_is_the_plain_layer_with_the_kernel_of_the_core"
    return f"tests/star/test_conv.py::{name}[{backend}-conv]"


def _core(case: str) -> str:
    return f"tests/core/test_kernel.py::test_kernel_composition_is_feature_composition[{case}]"


LARGE_LAYER = (
    "tests/torch_adapter/test_gradients.py"
    "::test_a_large_layer_composes_and_pulls_back_what_the_core_does[as-images]"
)


def _of(framework: str, path: str, *mistakes: tuple[str, str, dict[str, str]]) -> list[Mutant]:
    """Mutants of one file: each a mistake, the test, and the edits."""
    return [Mutant(mistake, framework, path, edits, test) for mistake, test, edits in mistakes]


CORE = _of(
    "core",
    "doconv_core/kernel/composition.py",
    (GROUPING, _core("grouped"), {
        "D.reshape(spec.groups, spec.in_channels // spec.groups, spec.K, spec.S)":
        "D.reshape(-1, spec.groups, spec.K, spec.S).swapaxes(0, 1)",
    }),
    (IDENTITY, _core("conv"), {"np.array(_identity_part(": "0 * np.array(_identity_part("}),
    (TURNED, _core("conv"), {'"gocs,gcks->gock"': '"gock,gcks->gocs"'}),
    (COPIES, _core("copies"), {"else copies.sum(axis=2)": "else copies[:, :, 0]"}),
) + _of(
    "core",
    "doconv_core/official.py",
    (ROWS,
     "tests/core/test_official.py::test_a_state_computes_what_the_official_layer_does[tf grouped]",
     {"D.reshape(a, I // a, K, S).swapaxes(0, 1)": "D.reshape(a, I // a, K, S)"}),
) + _of(
    "core",
    "doconv_core/model/planning.py",
    ("what `where` leaves out is a disappointment",
     "tests/core/test_planning.py::test_what_where_leaves_out_counts_for_nothing_else",
     {"where is not None and not _asked(picked, each)": "False"}),
)  # fmt: skip

TORCH = _of(
    "torch",
    "doconv_torch/tensors/composition.py",
    (GROUPING, _star("torch", "grouped"), {
        "        W = W.unflatten(0, [groups, -1])\n        product": "        product",
        '"gaks,goas->goak", D.unflatten(0, [groups, -1]), W).flatten(0, 1)':
        '"iks,ois->oik", D, W.reshape(-1, *D.shape[::2])).reshape(kernel.shape)',
    }),
    (GROUPS, _star("torch", "grouped"), {
        "D.unflatten(0, [groups, -1])": "D.unflatten(0, [groups, -1])[:1]",
    }),
    (IDENTITY, _star("torch", "grouped"), {"(kernel + product)": "product"}),
    (TURNED, _star("torch", "grouped"), {'"gaks,goas->goak"': '"gask,goas->goak"'}),
    (DEPTHWISE_TURNED, _star("torch", "depthwise"), {"(D * W).sum(2)": "(D.mT * W).sum(2)"}),
    (RESIDUAL, _star("torch", "grouped"), {"(kernel + product)": "kernel"}),
    (COPIES, _star("torch", "copies"), {"range(K, D_mul - K + 1, K)": "range(0)"}),
    (STRIDE, _star("torch", "stride", "feature"), {
        "conv(input, depthwise, None, stride": "conv(input, depthwise, None, 1",
    }),
) + _of(
    "torch",
    "doconv_torch/tensors/arithmetic.py",
    (DENSE_IDENTITY, _star("torch", "conv"), {
        "torch.add(part, torch.bmm(": "torch.add(0 * part, torch.bmm(",
    }),
    (DENSE_RESIDUAL, _star("torch", "conv"), {
        "torch.bmm(part.transpose(0, 1), D)": "torch.bmm(part.transpose(0, 1), 0 * D)",
    }),
    (DENSE_TURNED, _star("torch", "conv"), {"rows, D = _rows(W), D.mT": "rows = _rows(W)"}),
    (GRADIENT, _star("torch", "conv", what="gradients_are"), {
        "torch.add(g, torch.bmm(": "torch.add(0 * g, torch.bmm(",
    }),
    (IMAGES, LARGE_LAYER, {".permute(0, 2, 3, 1))": ".permute(0, 3, 2, 1))"}),
) + _of(
    "torch",
    "doconv_torch/layers/arrays.py",
    (FOLD, _fold("torch"), {
        "D = None if layer.D is None else to_float64(layer.D)": "D = None",
    }),
)  # fmt: skip


def _keras(framework: str) -> list[Mutant]:
    """Of what lies below both Keras adapters, seen by one of them."""
    return _of(
        framework,
        "doconv_keras/tensors/composition.py",
        (GROUPING, _star(framework, "grouped"), {
            "(columns, spec.in_channels // g, g, spec.out_channels // g)":
            "(columns, spec.in_channels, spec.out_channels // g)",
            "ops.reshape(ops.transpose(W, (2, 1, 0, 3)), (spec.in_channels, columns, -1))":
            "ops.transpose(W, (1, 0, 2))",
            "    product = ops.reshape(product, (g, spec.in_channels // g, columns, ":
            "    product = ops.reshape(product, (1, spec.in_channels, columns, ",
        }),
        (GROUPS, _star(framework, "grouped"), {
            "D @ W":
            "ops.concatenate([D[: spec.in_channels // spec.groups]] * spec.groups, 0) @ W",
        }),
        (IDENTITY, _star(framework, "conv"), {"plain + D @ W": "D @ W"}),
        (TURNED, _star(framework, "conv"), {"D @ W": "ops.transpose(D, (0, 2, 1)) @ W"}),
        (RESIDUAL, _star(framework, "conv"), {"plain + D @ W": "plain"}),
        (COPIES, _star(framework, "copies"), {
            "range(K, spec.S - spec.free_columns, K)": "range(0)",
        }),
    ) + _of(
        framework,
        "doconv_keras/layers/arrays.py",
        (FOLD, _fold(framework), {"None if layer.D is None else to_numpy(layer.D)": "None"}),
    )  # fmt: skip


NATIVE = [
    Mutant(
        "the kernel takes one layout for the other",
        "torch",
        "doconv_torch/tensors/native.py",
        {'"OIk" if W.is_contiguous() else "OkI"': '"OIk"'},
        "tests/torch_adapter/test_native.py::test_it_computes_what_the_library_does[channels_last]",
    ),
    Mutant(
        "what the kernel writes is not counted",
        "torch",
        "doconv_torch/tensors/native.py",
        {"        torch.autograd.graph.increment_version(array)": "        pass"},
        "tests/torch_adapter/test_native.py::test_what_is_written_in_place_is_counted_as_written",
    ),
    Mutant(
        "memory is handed out that is in use",
        "torch",
        "doconv_torch/tensors/memory.py",
        {"block = spare.pop()": "block = spare[-1]"},
        "tests/torch_adapter/test_memory.py::test_what_somebody_keeps_stays[the gradient]",
    ),
    Mutant(
        "an operator in Python is shown",
        "gluon",
        "doconv_gluon/layers/execution.py",
        {"        block._cached_graph = shown": "        pass"},
        "tests/gluon_adapter/test_native.py"
        "::test_it_is_in_what_is_executed_and_not_in_what_is_shown",
    ),
]

KERAS = _keras("keras") + _of(
    "keras",
    "doconv_tf/layers/base.py",
    (STRIDE, _star("keras", "stride", "feature"), {"strides=self.strides": "strides=1"}),
) + _of(
    "keras",
    "doconv_tf/layers/copying.py",
    (FOLLOWS, _copy_of("adapted_normalization", "keras"), {
        "        load_what_it_saves(KERAS, ours, theirs)\n": "        pass\n",
        "        copy_attributes(KERAS, ours, theirs)\n": "",
    }),
    (NAMES, _copy_of("automatic_names", "keras"), {"theirs.name = ours.name": "ours.name"}),
) + _of(
    "keras",
    "doconv_tf/model/training.py",
    (SLOTS, "tests/keras_adapter/test_borders.py::"
     "test_an_optimizer_forgets_D_when_its_model_is_folded_in_place[Adam]",
     {"            del remembered[position]": "            pass"}),
)  # fmt: skip

TF_KERAS = _keras("tf_keras") + _of(
    "tf_keras",
    "doconv_tf_keras/tensors/composition.py",
    (OF_GROUPS_1X1, _star("tf_keras", "grouped", "feature"), {
        "tf.transpose(W, (1, 0, 2))": "tf.transpose(W, (1, 0, 2))[::-1]",
    }),
) + _of(
    "tf_keras",
    "doconv_tf_keras/layers/swapping.py",
    (DEPENDENCY, "tests/tf_keras_adapter/test_conversion.py::test_a_folded_layer_keeps_no_trace",
     {"            layer._delete_tracking(name)": "            pass"}),
) + _of(
    "tf_keras",
    "doconv_tf_keras/tensors/initialization.py",
    (NAMED, "tests/tf_keras_adapter/test_layers.py::test_variables_are_called_as_the_layer_is",
     {"with made_where(W), tf.name_scope(name_scope(W)):": "with made_where(W):"}),
) + _of(
    "tf_keras",
    "doconv_tf_keras/layers/copying.py",
    (BESIDE, _copy_of("changed_after_it_was_made", "tf_keras"), {
        "        copy_attributes(TF_KERAS, ours, theirs)\n": "        pass\n",
    }),
) + _of(
    "tf_keras",
    "doconv_tf_keras/model/training.py",
    (SLOTS, _forgets("Adam"), {
        "setattr(optimizer, name, [each for i, each in enumerate(held) if i not in positions])":
        "pass",
    }),
    (AVERAGES, "tests/tf_keras_adapter/test_optimizers.py::"
     "test_averages_begin_anew_with_the_folded_kernels",
     {"                averages[index[key]].assign(kernel)": "                pass"}),
) + _of(
    "tf_keras",
    "doconv_keras/layers/arrays.py",
    (COMPENSATED, "tests/star/test_start.py::"
     "test_the_authors_columns_are_drawn_alike_and_leave_the_kernel[tf_keras-copies]",
     {"range(spec.K, spec.S - spec.free_columns, spec.K):\n        W[": "range(0):\n        W["}),
) + _of(
    "tf_keras",
    "doconv_keras/layers/hosts.py",
    (ONLY_BUILT, "tests/tf_keras_adapter/test_subclasses.py::"
     "test_one_that_may_compute_something_else_is_left[BelowAnotherCall]",
     {"            if name in OUR_ATTRIBUTES or hasattr(host, name):": "            if False:"}),
)  # fmt: skip

GLUON = _of(
    "gluon",
    "doconv_gluon/tensors/composition.py",
    (GROUPING, _star("gluon", "grouped"), {
        "    D = F.reshape(D, shape=(-1, form.K, form.D_mul))":
        "    D = F.reshape(D, shape=(-1, form.groups, form.K, form.D_mul))\n"
        "    D = F.reshape(F.swapaxes(D, 0, 1), shape=(-1, form.K, form.D_mul))",
    }),
    (GROUPS, _star("gluon", "grouped"), {
        "    D = F.reshape(D, shape=(-1, form.K, form.D_mul))":
        "    D = F.reshape(D, shape=(form.groups, -1, form.K, form.D_mul))\n"
        "    D = F.tile(F.slice_axis(D, axis=0, begin=0, end=1), reps=(form.groups, 1, 1, 1))\n"
        "    D = F.reshape(D, shape=(-1, form.K, form.D_mul))",
    }),
    (IDENTITY, _star("gluon", "conv"), {"_gemm(W, D, kernel,": "_gemm(W, D, 0 * kernel,"}),
    (TURNED, _star("gluon", "conv"), {"transpose_b=True": "transpose_b=False"}),
    (RESIDUAL, _star("gluon", "conv"), {"_gemm(W, D, kernel,": "_gemm(W, 0 * D, kernel,"}),
    (COPIES, _star("gluon", "copies"), {
        "range(form.K, form.D_mul - form.K + 1, form.K)": "range(0)",
    }),
) + _of(
    "gluon",
    "doconv_gluon/layers/do_conv.py",
    (STRIDE, _star("gluon", "stride", "feature"), {
        '"num_group": I, "no_bias": True}':
        '"num_group": I, "no_bias": True, "stride": (1,) * len(form.kernel_size)}',
    }),
) + _of(
    "gluon",
    "doconv_gluon/layers/folding.py",
    (FOLD, _fold("gluon"), {"read_W(layer, layer.spec), read_D(layer)":
                            "read_W(layer, layer.spec), None"}),
)  # fmt: skip

# --- CondConv and XSepConv -----------------------------------------------------------------

FAMILY = _of(
    "torch",
    "doconv_torch/tensors/mixing.py",
    (MIXED, _condconv("torch", "plain-grouped", "kernels"), {
        "(alpha @ bias).flatten()": "bias[:1].expand(batch, -1).flatten()",
    }),
    (BATCH, _condconv("torch", "grouped", "kernels"), {
        "unflatten(1, kernels.shape[1:]).flatten(0, 1)":
        "unflatten(1, kernels.shape[1:]).flip(0).flatten(0, 1)",
    }),
    (OF_GROUPS, _condconv("torch", "grouped", "outputs"), {
        "array.unflatten(1, (g, -1)).transpose(0, 1).flatten(0, 2)": "array.flatten(0, 1)",
    }),
) + _of(
    "torch",
    "doconv_torch/layers/xsepconv.py",
    (CORNER, _xsepconv("torch", "top-left"), {
        "[left, right, top, bottom]": "[right, left, bottom, top]",
    }),
    (AXES, _xsepconv("torch", "different-strides"), {
        '"stride": part.stride': '"stride": part.stride[::-1]',
    }),
) + _of(
    "keras",
    "doconv_tf/tensors/mixing.py",
    (SORTED, _condconv("keras", "grouped", "kernels"), {
        "grouped = ops.reshape(kernels, (experts, -1, groups, outputs // groups))\n"
        "    grouped = ops.transpose(grouped, (0, 2, 1, 3))":
        "grouped = ops.reshape(kernels, (experts, groups, -1, outputs // groups))",
    }),
    (OF_GROUPS, _condconv("keras", "grouped", "outputs"), {
        "grouped = ops.transpose(grouped, (1, 2, 0, 3))":
        "grouped = ops.transpose(grouped, (1, 0, 2, 3))",
    }),
) + _of(
    "gluon",
    "doconv_gluon/tensors/mixing.py",
    (OF_GROUPS, _condconv("gluon", "grouped", "outputs"), {
        "axes=(1, 0, 2, 3)": "axes=(0, 1, 2, 3)",
    }),
) + _of(
    "gluon",
    "doconv_gluon/layers/xsepconv.py",
    (CORNER, _xsepconv("gluon", "top-left"), {
        "top, bottom, left, right)  #": "bottom, top, right, left)  #",
    }),
    (AXES, _xsepconv("gluon", "different-strides"), {
        '"strides": part.stride': '"strides": part.stride[::-1]',
    }),
)  # fmt: skip


def _cli(file: str, test: str) -> str:
    return f"tests/cli/test_{file}.py::test_{test}"


_EVERY_KIND = _cli("files_torch", "a_folded_file_is_the_state_of_the_folded_model[every-kind-.pt]")
_IN_PIECES = _cli("files_torch", "layers_larger_than_a_piece_are_the_same[D_mul=K-1]")
_REMAINS = _cli(
    "files_everywhere", "a_D_that_would_remain_is_an_error_and_named[an EMA without names]"
)
_ADAM = _cli("files_everywhere", "an_optimizer_goes_on_with_the_plain_model[model-Adam-D_mul=K]")
_LOOKS = _cli("files_errors", "verify_looks_before_the_file_becomes_OUT[True-.pt]")

COMMAND = _of(
    "command",
    "doconv_cli/files/layers/composing.py",
    (FOLD, _EVERY_KIND, {
        "d = None if D is None else widened(rows(D, first, first + g * a), D.dtype)": "d = None",
    }),
    ("a piece takes the first channels' D", _IN_PIECES, {
        "first = groups.start * channels + inputs.start": "first = 0",
    }),
    ("a transposed layer is read as an ordinary one", _EVERY_KIND, {
        "array.reshape(g, a, O, -1).swapaxes(1, 2)": "array.reshape(g, O, a, -1)",
    }),
    ("only a D's first piece is measured", _IN_PIECES, {
        "        total += float(": "        total = total or float(",
    }),
) + _of(
    "command",
    "doconv_cli/files/layers/find.py",
    ("a layer that may be transposed is guessed",
     _cli("files_torch", "layers_that_may_be_transposed_are_not_guessed[.safetensors]"),
     {"ambiguous=not (sure or rows_agree(arrays[\"D\"]))": "ambiguous=False"}),
    ("what a file says of a layer is not believed",
     _cli("files_torch", "what_a_state_dict_records_is_believed"),
     {"        told = recorded\n": "        told = None\n"}),
) + _of(
    "command",
    "doconv_cli/files/layers/find_official.py",
    ("the authors' layer is taken for this library's",
     _cli("files_official", "an_official_checkpoint_becomes_the_host_s[fold-.pt]"),
     {"return theirs if sure else []": "return []"}),
) + _of(
    "command",
    "doconv_cli/files/verbs/only.py",
    ("a D may remain in OUT", _REMAINS, {"left = source.unplaced(layers)": "left = []"}),
) + _of(
    "command",
    "doconv_cli/files/verbs/verify.py",
    ("--verify passes everything", _LOOKS, {"if not found <= 0.5:": "if False:"}),
    ("--verify sees one group",
     _cli("verify", "the_channels_of_another_group_do_not_pass[ordinary-float32]"),
     {"worst = max(worst, _worst(": "worst = min(worst, _worst("}),
) + _of(
    "command",
    "doconv_cli/files/verbs/convert.py",
    ("groups that nothing gives are believed",
     _cli("files_groups", "groups_that_nothing_fits_are_refused_with_the_likely_ones[ResNeXt-.pt]"),
     {"    if wrong:\n": "    if False:\n"}),
    ("an embedding is converted",
     _cli("files_groups", "what_is_no_convolution_is_left_alone_unless_named"),
     {"layer.shape[0] == 1 or layer.K > _LARGEST": "layer.K > _LARGEST"}),
) + _of(
    "command",
    "doconv_cli/files/formats/array_file.py",
    ("OUT is there before --verify looked", _LOOKS, {
        "            self.write(contents, temporary)\n":
        "            self.write(contents, temporary)\n            os.replace(temporary, out)\n",
        "from collections.abc import Iterable, Mapping\n":
        "import os\nfrom collections.abc import Iterable, Mapping\n",
    }),
) + _of(
    "command",
    "doconv_cli/files/formats/training_state.py",
    ("an optimizer's entries keep their numbers", _ADAM, {
        "after[key if isinstance(old, str) else count] = state[old]": "after[old] = state[old]",
    }),
    ("momenta of other sizes pass", _cli("files_everywhere",
     "parameters_in_groups_go_on_with_the_plain_model[SGD momentum-by weight decay]"),
     {"shape in (None, parameters[key])": "True"}),
) + _of(
    "command",
    "doconv_cli/files/formats/harmless.py",
    ("every class is harmless",
     _cli("files_everywhere", "other_objects_are_refused_by_class_and_place_unless_allowed"),
     {"bool(_PATTERN.fullmatch(name))": "True"}),
) + _of(
    "command",
    "doconv_cli/files/formats/torch_file.py",
    ("a D of more numbers than there are is taken", _cli("files_everywhere",
     "a_D_that_would_remain_is_an_error_and_named[a stretched D]"),
     {"if held > tensor.storage.size:": "if False:"}),
) + _of(
    "command",
    "doconv_cli/files/formats/safetensors_file.py",
    ("one file of several is folded alone",
     _cli("files_folders", "one_file_of_several_is_refused_with_the_way_out"),
     {"_SHARD.fullmatch(path.name) or _index_beside(path)": "_index_beside(path) and False"}),
    ("the index keeps its old size",
     _cli("files_folders", "W_and_D_in_different_shards_are_folded[folder-2]"),
     {'{**self._index_metadata, "total_size": total}': "{**self._index_metadata}"}),
) + _of(
    "command",
    "doconv_cli/files/formats/limits.py",
    ("a bomb may grow", _cli("files_bounded", "max_bytes_raises_the_limits"), {
        "if size > limit:": "if False:",
    }),
) + _of(
    "command",
    "doconv_cli/text.py",
    ("names in files reach the terminal",
     _cli("command_line", "names_of_layers_reach_no_terminal[a color]"),
     {"each if each.isprintable() else": "each if True else"}),
) + _of(
    "command",
    "doconv_cli/files/formats/checkpoint.py",
    ("OUT is everybody's", _cli("command_line", "OUT_has_the_permissions_of_FILE[384]"), {
        "replacing(out, stat.S_IMODE(self.path.stat().st_mode))": "replacing(out)",
    }),
)  # fmt: skip

MUTANTS = CORE + TORCH + NATIVE + KERAS + TF_KERAS + GLUON + FAMILY + COMMAND
