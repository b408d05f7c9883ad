"""What the problems' tests are written with."""

from common.testing.asserts import (
    CheckFailed,
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    fail,
)
from common.testing.axes import name_sizes
from common.testing.calls import assert_repeatable
from common.testing.context import observe
from common.testing.dropout import assert_dropped, assert_drops_anew
from common.testing.dtypes import assert_keeps_dtype
from common.testing.first_difference import assert_same_module
from common.testing.modules import (
    assert_input_untouched,
    assert_made_on_device,
    assert_moves,
    assert_norms_begin_plain,
    assert_parameters,
    assert_rows_independent,
    draw,
    draw_ids,
    fill,
    has_forward,
    tiny,
    twins,
)

__all__ = [
    "CheckFailed",
    "assert_close",
    "assert_dropped",
    "assert_drops_anew",
    "assert_equal",
    "assert_gradients",
    "assert_identical",
    "assert_input_untouched",
    "assert_keeps_dtype",
    "assert_made_on_device",
    "assert_moves",
    "assert_norms_begin_plain",
    "assert_parameters",
    "assert_raises",
    "assert_repeatable",
    "assert_rows_independent",
    "assert_same_module",
    "assert_shape",
    "assert_tensor",
    "assert_tokens",
    "assert_true",
    "draw",
    "draw_ids",
    "fail",
    "fill",
    "has_forward",
    "name_sizes",
    "observe",
    "tiny",
    "twins",
]
