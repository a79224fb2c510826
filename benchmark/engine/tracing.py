"""Gradients of a stack as one flat list of tensor operations.

Autograd and vmap decide anew in every step what the step before decided already; for small networks that costs more
than the arithmetic does. A traced program has neither left in it.
"""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch._guards import TracingContext, tracing
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import grad
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from ...methods.fitting import Terms
from ...methods.network import Parameters
from .stacking import StackedBatch, StackedTerms

Gradients = Callable[[Parameters, StackedBatch, Tensor], tuple[Parameters, Terms]]
"""Of (parameters, batch, strengths): each run's gradient of the sum of its two terms, and the terms."""

_ATEN = torch.ops.aten
_VIEWS = {_ATEN.view.default, _ATEN._unsafe_view.default, _ATEN.expand.default, _ATEN.permute.default}
_ZEROS = {_ATEN.zeros.default, _ATEN.zeros_like.default, _ATEN.new_zeros.default}
_PRODUCTS = {_ATEN.mul.Tensor, _ATEN.mul.Scalar, _ATEN.mm.default, _ATEN.bmm.default}
_INDEXED = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
_VALUES = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output, torch.Tag.nondeterministic_seeded}
_READS = {Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.data_ptr, Tensor.__dlpack__}
"""By which Python sees a tensor's numbers without an operation: a program would have the numbers that it saw."""
OPTIMIZER_COPIES = 4
"""Tensors of a parameter's size that a run keeps: itself, its gradient, Adam's two moments."""
TRACE_AFTER = 20
"""Calls before a program is traced, which takes about as long as they do: short trainings go without."""


class NoReads(TorchFunctionMode):
    """Raises RuntimeError where Python reads the numbers of a tensor."""

    def __torch_function__(
        self, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _READS:
            raise RuntimeError(f"{func.__name__} reads a tensor")
        return func(*args, **(kwargs or {}))


class TracedGradients:
    """The gradients of `terms`, traced once they were asked for often enough; one program a shape of stack and batch.

    Args:
        terms: of (parameters, batch, strengths), stacked or not; pure. Where they branch on what tensors hold, or make
            tensors whose shapes depend on it, a program would repeat the branch that it saw: they are not traced.
        compiled: programs are compiled too, by torch.compile: it takes half a minute and a C++ compiler, and fuses what
            lies between the matrix products.
    """

    def __init__(self, terms: StackedTerms, compiled: bool = False) -> None:
        def total(parameters: Parameters, batch: StackedBatch, strengths: Tensor) -> tuple[Tensor, Terms]:
            both = terms(parameters, batch, strengths)
            return (both.right_answer + both.right_reason).sum(), both

        self.terms, self.compiled = terms, compiled
        self.untraced: Gradients = grad(total, has_aux=True)
        self.calls: Counter[tuple[int, ...]] = Counter()
        self.programs: dict[tuple[int, ...], Callable[..., tuple[Parameters, Terms]]] = {}

    def __call__(self, parameters: Parameters, batch: StackedBatch, strengths: Tensor) -> tuple[Parameters, Terms]:
        shape = self._shape(batch, strengths)
        self.calls[shape] += 1
        if self.calls[shape] == TRACE_AFTER:
            self.trace(parameters, batch, strengths)
        return self.programs.get(shape, self.untraced)(parameters, batch, strengths)

    def trace(self, parameters: Parameters, batch: StackedBatch, strengths: Tensor) -> int:
        """Traces the program for these shapes; the bytes that it and the optimiser hold at most."""
        with suppress(RuntimeError):  # torch's, of a branch; what is wrong in itself raises untraced too
            shapes = TracingContext(FakeTensorMode(allow_fallback_kernels=True))  # without it torch makes one a node
            with NoReads(), tracing(shapes):
                program = make_fx(self.untraced)(parameters, batch, strengths)
            if not any(map(_depends_on_values, program.graph.nodes)):
                return self._keep(program, parameters, batch, strengths)
        self.programs[self._shape(batch, strengths)] = self.untraced
        return OPTIMIZER_COPIES * sum(value.nbytes for value in parameters.values())

    def _keep(self, program: GraphModule, parameters: Parameters, batch: StackedBatch, strengths: Tensor) -> int:
        simplify(program)
        program = relaid(program, parameters, batch, strengths)
        self.programs[self._shape(batch, strengths)] = _compiled(program) if self.compiled else program
        return peak_bytes(program.graph) + OPTIMIZER_COPIES * sum(value.nbytes for value in parameters.values())

    def _shape(self, batch: StackedBatch, strengths: Tensor) -> tuple[int, ...]:
        return (*strengths.shape, *batch.labels.shape)


def _depends_on_values(node: Node) -> bool:
    """Whether the shape of what a node makes, or the node itself, depends on the values of tensors, or on chance."""
    if not isinstance(node.target, OpOverload):
        return False
    if node.target in _INDEXED:  # by numbers it has the numbers' shape, by a mask as many rows as the mask has
        return any(used.meta["val"].dtype == torch.bool for used in node.all_input_nodes[1:])
    return not _VALUES.isdisjoint(node.target.tags)


def _compiled(program: GraphModule) -> Callable[..., tuple[Parameters, Terms]]:
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it reports a missing GPU
    return torch.compile(program, dynamic=False)


def simplify(program: GraphModule) -> None:
    """Takes out what changes nothing.

    That is what was computed before, views of a tensor as it is, factors of one, added zeros, and what nobody uses.
    """
    zeros, known, pure = _zeros(program), {}, not _writes(program)
    for node in list(program.graph.nodes):
        what = node.target, repr(node.args), repr(node.kwargs)  # as text, in which 2 is not 2.0
        kept = next(_same_as(node, zeros), None)
        if kept is None and pure and isinstance(node.target, OpOverload):
            kept = known.setdefault(what, node)
        if kept not in (None, node):
            node.replace_all_uses_with(kept)
    program.graph.eliminate_dead_code()
    program.recompile()


def relaid(program: GraphModule, *arguments: object) -> GraphModule:
    """The program with fewer copies, if it runs so.

    Without added zeros that only lay a tensor out anew: a second derivative has them after every pooling, where what
    was channels last becomes channels first, and each convolution after that copies it back; but a view may need one.
    And with additions in place, to what nobody else reads.
    """
    other = copy.deepcopy(program)
    zeros = _zeros(other)
    for node in list(other.graph.nodes):
        for kept in _plus_zeros(node, zeros):
            node.replace_all_uses_with(kept)
            break
    other.graph.eliminate_dead_code()
    for node in other.graph.nodes:
        if node.target is _ATEN.index_add.default and _is_last_use(node.args[0]):
            node.target = _ATEN.index_add_.default
    other.recompile()
    with suppress(RuntimeError):
        other(*arguments)
        return other
    return program


def _is_last_use(node: Node) -> bool:
    """Whether a tensor, seen through views, is the program's own and has this one user."""
    while len(node.users) == 1 and isinstance(node.target, OpOverload):
        if not node.target.is_view:
            return True
        node = node.args[0]  # pyrefly: ignore
    return False


def _same_as(node: Node, zeros: set[Node]) -> Iterator[Node]:
    """Arguments that the node is equal to, in memory layout too."""
    if node.target in _VIEWS or (node.target is _ATEN.mul.Scalar and node.args[1] == 1):
        candidates = iter(node.all_input_nodes)
    else:
        candidates = _plus_zeros(node, zeros)
    for kept in candidates:
        if _layout(kept) == _layout(node):
            yield kept


def _plus_zeros(node: Node, zeros: set[Node]) -> Iterator[Node]:
    """Arguments of its type and shape to which the node adds zeros."""
    if node.target is _ATEN.add.Tensor and not node.kwargs:
        for kept, added in (node.args, node.args[::-1]):
            if added in zeros and isinstance(kept, Node) and _layout(kept)[:2] == _layout(node)[:2]:
                yield kept


def _zeros(program: GraphModule) -> set[Node]:
    """Constants and products that are zero whatever the arguments are, as long as all that is computed is finite."""
    zeros: set[Node] = set()
    if _writes(program):
        return zeros
    for node in program.graph.nodes:
        made = node.target in _ZEROS or (node.op == "get_attr" and not getattr(program, node.target).any())
        product = node.target in _PRODUCTS and not zeros.isdisjoint(node.all_input_nodes)
        view = isinstance(node.target, OpOverload) and node.target.is_view and node.args[0] in zeros
        if made or product or view:
            zeros.add(node)
    return zeros


def _writes(program: GraphModule) -> bool:
    """Whether it writes into tensors, so that what one is depends on when it is read."""
    return any(isinstance(n.target, OpOverload) and n.target._schema.is_mutable for n in program.graph.nodes)


def _layout(node: Node) -> tuple[object, ...]:
    value = node.meta["val"]
    return value.dtype, value.shape, value.stride()


def peak_bytes(graph: Graph) -> int:
    """The most bytes of intermediate tensors that are alive at once."""
    last_user = {used: node for node in graph.nodes for used in node.all_input_nodes}
    freed: Counter[Node] = Counter()
    for used, node in last_user.items():
        freed[node] += _bytes(used)
    alive = most = 0
    for node in graph.nodes:
        alive += _bytes(node)
        most, alive = max(most, alive), alive - freed[node]
    return most


def _bytes(node: Node) -> int:
    """What a node allocates: nothing if it is an argument, or a view of something."""
    value = node.meta.get("val")
    allocates = isinstance(node.target, OpOverload) and not node.target.is_view and isinstance(value, Tensor)
    return value.nbytes if allocates else 0
