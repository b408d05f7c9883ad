"""Interview 18: what quantize, dequantize, error_bound and Int8Linear promise, from cause to consequence.

Shapes: O output channels, I input channels, B batch, T tokens.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_moves,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.comparisons import assert_gradients_of
from common.testing.elsewhere import DevicesDiffer, elsewhere

AXES = {"O": 11, "I": 15}
O, I = AXES.values()
HALVES = [torch.float16, torch.bfloat16]
PAIR = "quantize(weight)"


def some_weight(name="weight", rows=O, columns=I):
    """Rows of very different sizes, some with their largest entry below 0."""
    sizes = 10.0 ** torch.arange(rows, device=draw("d", 1).device).sub(rows // 2).div(4)
    return draw(name, O=rows, I=columns) * sizes.unsqueeze(1)


def quantized(solution, weight):
    """What quantize gives, seen whole by a diagnosis, whatever the check asks of it."""
    pair = solution.quantize(weight)
    assert_true(isinstance(pair, tuple | list) and len(pair) == 2, f"{PAIR} does not return two tensors",
                because="Codes and scales both go back, the codes first: `return codes, scales`.")
    for name, tensor in zip(("codes", "scales"), pair, strict=True):
        observe(f"{name} of {tuple(weight.shape)} in {weight.dtype}", assert_tensor(tensor, f"what stands for {name}"))
    (codes, scales), (rows, columns) = pair, weight.shape
    assert_shape(codes, (rows, columns), "the codes", because="There is a code for each weight, in its place.")
    assert_shape(
        scales, (rows,), "the tensor of scales",
        because="Each row of the weight makes one output channel and has one scale: (O,), without a second axis.",
    )
    return codes, scales


def right_scales(weight):
    """What the README says, in double precision."""
    scales = weight.detach().double().abs().amax(1) / 127
    return torch.where(scales == 0, 1.0, scales)


def right_weight(weight):
    """What is left of a weight in int8, in double precision."""
    scales = right_scales(weight).unsqueeze(1)
    return (weight.detach().double() / scales).round() * scales


def assert_codes(codes, weight, what, because):
    """Check codes; where two are nearly equally near, either will do."""
    exact = weight.detach().double() / right_scales(weight).unsqueeze(1)
    near = (exact.frac().abs() - 0.5).abs() < 1e-3
    expected = torch.where(near & ((codes - exact).abs() < 0.51), codes.double(), exact.round())
    assert_close(codes.double(), expected, what, because=because, atol=0, rtol=0)


# --- quantize: what it returns, and what it leaves alone -----------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, *HALVES], ids=str)
def test_codes_are_int8_and_scales_float32(solution, dtype):
    codes, scales = quantized(solution, some_weight().to(dtype))
    assert_equal(
        [str(codes.dtype), str(scales.dtype)], ["torch.int8", "torch.float32"],
        f"the list of the dtypes of codes and scales for a weight in {dtype}",
        because="A code takes one byte. Scales are float32 whatever the weight's type, as a half type is too coarse.",
    )


@pytest.mark.parametrize("name", ["quantize", "dequantize", "error_bound"])
def test_inputs_are_left_as_they_were(solution, name):
    inputs = {"quantize": (some_weight(),), "dequantize": some_codes(),
              "error_bound": (draw("x", 4, I), draw("scales", O=O).abs())}[name]
    assert_input_untouched(getattr(solution, name), *inputs, what=name)


def test_codes_and_scales_have_no_graph(solution):
    weight = torch.nn.Parameter(some_weight())
    result = quantized(solution, weight)
    assert_equal(
        [tensor.requires_grad for tensor in result], [False, False],
        "for a parameter, the list of requires_grad of codes and scales",
        because="What is stored of a layer is numbers: detach() or no_grad() leaves the parameter's graph behind.",
    )
    assert_true(weight.requires_grad, "after quantize the parameter no longer requires a gradient",
                because="The parameter belongs to the caller; detach() gives a tensor of one's own to work with.")


# --- quantize: values ----------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(O, I), (7, 7)], ids=str)
def test_each_row_has_a_scale_of_its_own(solution, rows, columns):
    weight = some_weight("weight", rows, columns)
    _, scales = quantized(solution, weight)
    assert_close(
        scales.double(), right_scales(weight), f"the tensor of scales of {rows} rows and {columns} columns", atol=0,
        rtol=1e-5, because="The scale of a row is its largest absolute value over 127: one number for each output "
        "channel, to which other rows have nothing to say.",
    )


@pytest.mark.parametrize("sign", [1, -1], ids=["above 0", "below 0"])
def test_the_largest_entry_may_have_either_sign(solution, sign):
    weight = sign * (0.1 + some_weight().abs())
    codes, scales = quantized(solution, weight)
    assert_close(
        scales.double(), right_scales(weight), f"the scales of weights that are all {['', 'above', 'below'][sign]} 0",
        atol=0, rtol=1e-5, because="It is the largest absolute value that counts, and a scale is above 0.",
    )
    ends = torch.where(codes.abs().amax(1) == codes.amax(1), codes.amax(1), codes.amin(1)).tolist()
    assert_equal(
        ends, [127 * sign] * O, "the list of each row's outermost code",
        because="The range is symmetric: the entry with the largest absolute value becomes 127 or -127.",
    )


def test_every_weight_gets_the_nearest_code(solution):
    weight = some_weight()
    codes, _ = quantized(solution, weight)
    assert_codes(codes, weight, "the tensor of codes",
                 "A code is weight / scale of its row, rounded to the nearest whole number, up or down.")


def test_a_row_of_zeros_has_the_scale_one(solution):
    weight = some_weight()
    weight[[0, 4]] = 0
    for w in (weight, torch.zeros_like(weight[:3])):
        codes, scales = quantized(solution, w)
        assert_close(
            scales.double(), right_scales(w), f"the tensor of scales of {len(w)} rows, some of which are zeros,",
            atol=0, rtol=1e-5, because="A row of zeros has the scale 1, as nothing can be divided by 0; no other row "
            "is touched by that.",
        )
        assert_codes(codes, w, f"the tensor of codes of {len(w)} rows, some of which are zeros,",
                     "A row of zeros has codes of 0, and the other rows those that they have without it.")


@pytest.mark.parametrize("dtype", [torch.float64, *HALVES], ids=str)
def test_weights_may_be_of_another_float_type(solution, dtype):
    weight = draw("fine", 5, 60).to(dtype)
    codes, scales = quantized(solution, weight)
    assert_close(
        scales.double(), right_scales(weight), f"the tensor of scales of a weight in {dtype}", atol=0, rtol=1e-5,
        because="Arithmetic in float32 gives them to six digits; float16 and bfloat16 have three and two.",
    )
    assert_codes(codes, weight, f"the tensor of codes of a weight in {dtype}",
                 "A half type cannot tell 100.4 from 100.6: divide and round in float32, which every weight fits.")


@pytest.mark.parametrize(("size", "dtype"), [(1e-7, torch.float32), (1e7, torch.float32), (2e-5, torch.float16)],
                         ids=["1e-07", "1e+07", "2e-05 in float16"])
def test_weights_may_be_tiny_or_large(solution, size, dtype):
    weight = draw("w", O=O, I=I)
    weight = (weight / weight.abs().amax(1, keepdim=True) * size).to(dtype)
    codes, scales = quantized(solution, weight)
    assert_close(
        scales.double() / size, right_scales(weight) / size, f"the scales of weights up to {size:g}, over {size:g},",
        atol=0, rtol=1e-5, because="They are the largest absolute value over 127 however small it is, with nothing "
        "added; only a row of zeros is a case of its own.",
    )
    assert_codes(codes, weight, f"the tensor of codes of weights up to {size:g}",
                 "Codes follow from the ratios of a row's entries, whatever their size.")


@pytest.mark.parametrize("shape", [(O,), (2, 3, 4)], ids=str)
def test_what_is_no_matrix_is_refused(solution, shape):
    because = "Which axis holds the output channels is known of a matrix (O, I) alone; the message says what came."
    with assert_raises(ValueError, f"quantize of a weight of shape {shape}", naming=[shape], because=because):
        solution.quantize(draw("weight", *shape))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")], ids=str)
def test_weights_that_are_no_numbers_are_refused(solution, value):
    weight = some_weight()
    weight[3, 4] = value
    because = "One of them would make the scale of its row, and so all of the row, inf or NaN without a word."
    with assert_raises(ValueError, f"quantize of a weight that holds {value}", because=because):
        solution.quantize(weight)


# --- dequantize ----------------------------------------------------------------------------------


def some_codes(rows=O, columns=I):
    return (40 * draw("codes", O=rows, I=columns)).clamp(-127, 127).to(torch.int8), draw("scales", rows).abs() + 0.1


@pytest.mark.parametrize(("rows", "columns"), [(O, I), (7, 7), (1, 1)], ids=str)
def test_dequantize_multiplies_each_row_by_its_scale(solution, rows, columns):
    codes, scales = some_codes(rows, columns)
    assert_close(
        solution.dequantize(codes, scales), codes.float() * scales.unsqueeze(1),
        f"dequantize(codes, scales) of {rows} rows and {columns} columns",
        because="Entry [o, i] is codes[o, i] * scales[o]: a scale goes with a row, and broadcasting takes (O,) for "
        "columns.",
    )


@pytest.mark.parametrize("dtype", [None, torch.float64, *HALVES], ids=str)
def test_dequantize_answers_in_the_dtype_asked_for(solution, dtype):
    codes, scales = some_codes()
    out = assert_tensor(solution.dequantize(codes, scales, *([dtype] if dtype else [])), "the result of dequantize")
    assert_equal(
        str(out.dtype), str(dtype or torch.float32), f"the dtype of dequantize with {dtype or 'no dtype'}",
        because="The third argument says it, and float32 is the default.",
    )
    rtol = {torch.float16: 2e-3, torch.bfloat16: 2e-2}.get(dtype, 1e-5)
    assert_close(out.double(), codes.double() * scales.double().unsqueeze(1), f"dequantize in {dtype or 'float32'}",
                 because="Only rounding to the type may differ.", atol=0, rtol=rtol)


# --- error_bound ---------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)], ids=str)
def test_the_bound_is_the_sum_of_the_sizes_times_half_a_scale(solution, leading):
    x, scales = draw("x", *leading, I), draw("scales", O=O).abs()
    bound = solution.error_bound(x, scales)
    assert_shape(bound, (*leading, O), "error_bound(x, scales)", because="There is a bound for each output, (..., O).")
    # The worst weights: each is half a scale away, to the side that x pushes it to.
    worst = torch.einsum("...i,o,...i->...o", x.sign() / 2, scales, x)
    assert_close(
        bound, worst, f"error_bound for x of shape {tuple(x.shape)}", atol=1e-4,
        because="Each weight is off by up to half the scale of its row, times x_i, and in the worst case all of these "
        "have one sign; that is the smallest bound.",
    )


# --- Int8Linear ----------------------------------------------------------------------------------


def layer_of(solution, *, bias=True, weight=None):
    """A layer, with the weight and bias that it was made from."""
    weight = 0.3 * some_weight() if weight is None else weight
    bias = draw("bias", weight.size(0)) if bias else None
    return solution.Int8Linear(weight, bias), weight, bias


@pytest.mark.parametrize("bias", [True, False], ids=["a bias", "no bias"])
def test_the_layer_holds_codes_scales_and_bias(solution, bias):
    layer, *_ = layer_of(solution, bias=bias)
    held = {name: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in layer.state_dict().items()}
    wanted = {"codes": ("int8", (O, I)), "scales": ("float32", (O,))}
    wanted |= {"bias": ("float32", (O,))} if bias else {}
    assert_equal(
        dict(sorted(held.items())), dict(sorted(wanted.items())), "the content of the layer's state_dict",
        because="It is what the layer stores: a byte for each weight, four for each row, and the bias if there is one.",
    )
    assert_equal(
        [name for name, _ in layer.named_parameters()], ["bias"] if bias else [],
        "the list of the layer's parameters",
        because="An optimizer may move the bias; codes are whole numbers, and they and their scales are buffers.",
    )
    assert_equal(
        sorted(name for name, _ in layer.named_buffers()), ["codes", "scales"], "the list of the layer's buffers",
        because="Nothing else is kept, and no weight in float.",
    )
    assert_true(bias or layer.bias is None, "without a bias, layer.bias is not None",
                because="A caller that asks for the bias reads None where there is none.")


def test_the_layer_holds_what_quantize_gives(solution):
    weight = torch.cat([0.3 * some_weight(), torch.zeros_like(some_weight()[:1])])
    layer, *_ = layer_of(solution, weight=weight)
    assert_codes(layer.codes, weight, "layer.codes", "They are the codes of quantize(weight).")
    assert_close(layer.scales.double(), right_scales(weight), "layer.scales", atol=0, rtol=1e-5,
                 because="They are the scales of quantize(weight).")


def output(weight, bias, x):
    """What the README says that forward gives, in double precision."""
    return F.linear(x.double(), right_weight(weight), None if bias is None else bias.detach().double()).float()


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)], ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["a bias", "no bias"])
def test_it_is_a_linear_layer_with_the_dequantized_weight(solution, leading, bias):
    layer, weight, b = layer_of(solution, bias=bias)
    x = draw("x", *leading, I)
    assert_close(
        layer(x), output(weight, b, x), f"the output for x of shape {tuple(x.shape)} with {'a' if bias else 'no'} bias",
        atol=1e-4, rtol=1e-4,
        because="It is F.linear(x, dequantized weight, bias): each output is a row's sum of x_i * code_i, times the "
        "scale of that row, plus its bias as it is.",
    )


def test_a_square_layer_is_right_too(solution):
    layer, weight, b = layer_of(solution, weight=some_weight("square", 7, 7))
    x = draw("x", 5, 7)
    assert_close(
        layer(x), output(weight, b, x), "the output of a square layer", atol=1e-4, rtol=1e-4,
        because="With O = I a scale on the wrong axis, or a transposed weight, fits as well and gives other numbers.",
    )


@pytest.mark.parametrize(("dtype", "stored"), [(torch.float64, torch.float32), (torch.float16, torch.float32),
                         (torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)], ids=str)
def test_the_output_has_the_dtype_of_the_input(solution, dtype, stored):
    weight, bias, x = draw("even", O=O, I=I).to(stored), draw("bias", O).to(stored), draw("x", 4, I).to(dtype)
    codes = weight.double() / right_scales(weight)[:, None]
    weight[(codes.frac().abs() - 0.5).abs() < 1e-3] = 0  # halfway between two codes either is right
    what = f"the output for x in {dtype}, of a layer that was made from {stored},"
    out = assert_tensor(solution.Int8Linear(weight, bias)(x), what)
    assert_equal(str(out.dtype), str(dtype), f"the dtype of {what}",
                 because="The layer answers in the dtype of x, whatever scales and bias are stored in.")
    atol = {torch.float16: 0.05, torch.bfloat16: 0.3}.get(dtype, 1e-4)
    assert_close(out.float(), output(weight, bias, x), what, atol=atol, rtol=0.01 if atol > 1e-3 else 1e-4,
                 because="Only rounding in the type of x may differ.")


def test_a_call_leaves_input_and_layer_as_they_were(solution):
    layer, *_ = layer_of(solution)
    assert_input_untouched(layer, draw("x", 4, I), what="the layer")
    assert_repeatable(layer, draw("x", 4, I), what="the output")


def test_the_layer_does_not_follow_what_it_was_made_from(solution):
    layer, weight, bias = layer_of(solution)
    x = draw("x", 4, I)
    before = assert_tensor(layer(x), "the output").clone()
    with torch.no_grad():
        weight.add_(1)
        bias.add_(1)
    assert_identical(
        layer(x), before, "the output, after the weight and bias that it was made from were changed in place,",
        because="The layer has copies: codes are new numbers anyway, and the bias is cloned.",
    )


def test_gradients_reach_the_input_and_the_bias(solution):
    layer, weight, bias = layer_of(solution)
    x, names = draw("x", 4, I), dict(layer.named_parameters())
    right = right_weight(weight).float()
    assert_gradients_of(
        layer, lambda x: F.linear(x, right, bias), {"x": x},
        because="A layer below is trained through this one: its gradient is that of the dequantized weight.",
    )
    layer.zero_grad()
    (layer(x) * draw("direction", 4, O)).sum().backward()
    grad = names["bias"].grad if "bias" in names else None
    observe("the bias has a gradient", grad is not None)
    if grad is None:
        fail("no gradient reaches the bias:", expected="a gradient", got="None",
             because="The bias is a parameter that takes part in the output, without detach() or .data.")
    assert_close(grad, draw("direction", 4, O).sum(0), "the gradient of the bias",
                 because="Each output has its bias added once.", atol=1e-4)


def test_it_computes_with_what_was_loaded(solution):
    layer, *_ = layer_of(solution)
    codes, scales = some_codes()
    x, bias = draw("x", 4, I), draw("another", O)
    layer(x)
    layer.load_state_dict({"codes": codes, "scales": scales, "bias": bias})
    right = F.linear(x, codes.float() * scales.unsqueeze(1), bias)
    assert_close(
        layer(x), right, "the output after load_state_dict", atol=1e-3, rtol=1e-4,
        because="The output is made of codes, scales and bias as they are now; nothing that was made of earlier ones "
        "is kept.",
    )


def test_everything_works_on_any_device(solution):
    trouble = ""
    with elsewhere() as send:
        try:
            codes, scales = solution.quantize(send(some_weight()))
            solution.dequantize(codes, scales)
            solution.error_bound(send(draw("x", 4, I)), scales)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("tensors on another device", bool(trouble))
    if trouble:
        fail("quantize, dequantize and error_bound do not work on another device:",
             expected="everything where the inputs are", got=trouble,
             because="What is made on the way is made where the inputs are: device=weight.device.")
    assert_moves(layer_of(solution)[0], draw("x", 4, I), what="the layer")
