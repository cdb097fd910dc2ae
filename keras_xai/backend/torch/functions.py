"""Functions by what a walk from the score back to the inputs does with them."""

from __future__ import annotations

from keras_xai.backend.tape import Kinds
from keras_xai.backend.torch.ancestry import names

# Functions that are linear in all tensors they take, in any one of them, in the first one.
LINEAR_IN_ALL = names(
    "__add__ __iadd__ __isub__ __radd__ __rsub__ __sub__ add add_ cat concat concatenate rsub stack sub sub_ subtract"
)
LINEAR_IN_ONE = names(
    "__imul__ __matmul__ __mul__ __rmatmul__ __rmul__ addmm baddbmm bmm conv1d conv2d conv3d conv_transpose1d "
    "conv_transpose2d conv_transpose3d einsum linear matmul mm mul mul_ multiply tensordot"
)
LINEAR_IN_FIRST = names(
    "T __getitem__ __itruediv__ __neg__ __truediv__ adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d "
    "avg_pool2d avg_pool3d batch_norm broadcast_to chunk clone constant_pad_nd contiguous div div_ divide dropout expand "
    "expand_as flatten flip float interpolate mean moveaxis movedim narrow neg negative pad permute pixel_shuffle "
    "pixel_unshuffle repeat reshape roll select split squeeze sum swapaxes swapdims t tile to transpose true_divide type "
    "type_as unbind unflatten unsqueeze upsample view view_as"
)
CHOICES = names("where")  # by a condition that does not move, such as a mask
ENTRYWISE = names(
    "__pow__ abs absolute arcsinh arctan asinh atan celu clamp clamp_max clamp_min clip cos elu erf erfc exp expm1 float_power "
    "gelu hardshrink hardsigmoid hardswish hardtanh leaky_relu log log1p log_sigmoid maximum minimum mish pow prelu reciprocal "
    "relu relu6 rsqrt selu sgn sigmoid sign silu sin softplus softshrink softsign sqrt square tanh tanhshrink threshold"
)
WINNER = names("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax max_pool1d max_pool2d max_pool3d")
# Functions that stand between the ends of an activation that is written as several, as silu is x · sigmoid(x): each entry goes
# its own way.
BY_ENTRY = ENTRYWISE | names(
    "__add__ __eq__ __ge__ __gt__ __le__ __lt__ __mul__ __ne__ __neg__ __radd__ __rmul__ __rsub__ __rtruediv__ __sub__ "
    "__truediv__ add clone contiguous div divide eq equal float ge greater greater_equal gt le less less_equal logical_and "
    "logical_not logical_or lt mul multiply ne neg negative not_equal rsub sub subtract to true_divide where"
)
# And where several of them meet.
MEETING = names(
    "__mul__ __pow__ __rmul__ __rtruediv__ __truediv__ div divide maximum minimum mul multiply pow true_divide where"
)
_CONVOLUTIONS = names("conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d")
MULTIPLICATIONS = names("__imul__ __mul__ __rmul__ mul mul_ multiply")
DIVISIONS = names("__itruediv__ __truediv__ div div_ divide true_divide")
MATRIX_PRODUCTS = names("__matmul__ __rmatmul__ bmm einsum matmul mm tensordot")
_SUMS_AND_DIFFERENCES = names("__add__ __iadd__ __isub__ __radd__ __rsub__ __sub__ add add_ rsub sub sub_ subtract")
_SAME_ENTRIES = names("contiguous clone float reshape squeeze to type type_as unsqueeze view")
KINDS = Kinds(
    linear={
        **dict.fromkeys(LINEAR_IN_ALL, "all"),
        **dict.fromkeys(LINEAR_IN_ONE, "one"),
        **dict.fromkeys(LINEAR_IN_FIRST, "first"),
        **dict.fromkeys(CHOICES, "chosen from"),
    },
    entrywise=ENTRYWISE | {"__rtruediv__"},
    by_entry=BY_ENTRY,
    meeting=MEETING,
    winner=WINNER,
    between_two=names("maximum minimum"),
    convolutions=_CONVOLUTIONS,
    bilinear=LINEAR_IN_ONE - _CONVOLUTIONS,
    softmax=names("softmax"),
    log_softmax=names("log_softmax"),
    exponential=names("exp"),
    sums=names("sum"),
    spreads=_SAME_ENTRIES | names("broadcast_to expand expand_as permute transpose"),
    stops=names("detach"),
    one_by_one=frozenset(),
    moves=_SAME_ENTRIES | names("flatten movedim moveaxis permute swapaxes t T transpose unflatten view_as"),
    scales_and_shifts=_SUMS_AND_DIFFERENCES | MULTIPLICATIONS | DIVISIONS | {"batch_norm"},
    additions=names("__add__ __iadd__ __radd__ add"),
    roots=names("rsqrt sqrt"),
    squares=names("square var"),
    means=_SAME_ENTRIES
    | _SUMS_AND_DIFFERENCES
    | MULTIPLICATIONS
    | DIVISIONS
    | names(
        "__rtruediv__ broadcast_to clamp clamp_max clamp_min clip expand expand_as maximum mean minimum reciprocal sum transpose"
    ),
    scaling=MULTIPLICATIONS | DIVISIONS,
)
