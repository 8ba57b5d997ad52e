"""The compiled kernel of the core, handed PyTorch's arrays where it may be."""

import torch
from torch import Tensor, nn

from doconv_core.native import products
from doconv_torch.tensors import memory


def fits(W: Tensor, D: Tensor, *like_W: Tensor) -> bool:
    """Whether the kernel knows these arrays: W (O, I, K) and others of its shape, D (I, K, K).

    Only ordinary arrays of this process: a subclass, a fake or a shadow of many has no memory to
    point to, and a mode that watches operators (a tracer, a counter of flops) would miss one.
    """
    arrays = (W, *like_W)
    return (
        knows(*arrays, D)
        and (W.shape[2], D.shape[0]) == (products.K, W.shape[1])
        and all(each.shape == W.shape for each in like_W)
        and (_all_contiguous(arrays) or _all_contiguous([each.mT for each in arrays]))
    )


def knows(*arrays: Tensor) -> bool:
    """Whether these are of a kind that it knows, the last a D of K columns; in whatever order."""
    return (
        products.is_available()
        and all(map(_is_ordinary, arrays))
        and arrays[-1].shape[1:] == (products.K, products.K)
        and torch._C._len_torch_dispatch_stack() == 0
    )


def compose(W: Tensor, D: Tensor) -> Tensor | None:
    """W + D W, in memory that D's layer keeps; None if the kernel could not."""
    if not fits(W, D):
        return None
    kernel = memory.empty_like(W, D)
    return kernel if compose_into(kernel, W, D) else None


def pull_back(grad: Tensor, W: Tensor, D: Tensor) -> tuple[Tensor, Tensor] | None:
    """The gradients of W and D, likewise."""
    if not fits(W, D, grad):
        return None
    grad_W = memory.empty_like(W, D)
    grad_D = pull_back_into(grad_W, grad, W, D)
    return None if grad_D is None else (grad_W, grad_D)


def compose_into(kernel: Tensor, W: Tensor, D: Tensor) -> bool:
    """Write W + D W to ``kernel``, which may be W; False if it could not, and nothing was."""
    if not fits(W, D, kernel):
        return False
    addresses = (each.data_ptr() for each in (kernel, W, D.contiguous()))
    done = products.compose(_sizes(W), *addresses, threads=torch.get_num_threads())
    return done and _written(kernel)


def pull_back_into(grad_W: Tensor, grad: Tensor, W: Tensor, D: Tensor) -> Tensor | None:
    """Write W's gradient to ``grad_W``, which may be ``grad``, and return D's; None likewise."""
    if not fits(W, D, grad_W, grad):
        return None
    D = D.contiguous()
    grad_D = torch.empty_like(D)
    addresses = (each.data_ptr() for each in (grad_W, grad_D, grad, W, D))
    done = products.pull_back(_sizes(W), *addresses, threads=torch.get_num_threads())
    return grad_D if done and _written(grad_W) else None


def _is_ordinary(array: Tensor) -> bool:
    return (
        type(array) in (Tensor, nn.Parameter)
        and array.dtype == torch.float32
        and array.device.type == "cpu"
        and array.layout == torch.strided
        and not array.is_neg()  # to be negated when it is read
        and array.data_ptr() != 0  # of an array of zeros without memory
    )


def _all_contiguous(arrays: tuple[Tensor, ...] | list[Tensor]) -> bool:
    return all(each.is_contiguous() for each in arrays)


def _sizes(W: Tensor) -> products.Sizes:
    return products.Sizes(1, W.shape[0], W.shape[1], "OIk" if W.is_contiguous() else "OkI")


def _written(array: Tensor) -> bool:
    """Let autograd know, as every operator that writes does; always True."""
    if not array.is_inference():
        torch.autograd.graph.increment_version(array)
    return True
