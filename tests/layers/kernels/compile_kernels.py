"""Compiles the Triton kernels for a GPU that need not be there; see test_triton_filter.py."""

import itertools

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from aa_detectron.layers.kernels import cuda as triton_filter

TENSORS = {
    triton_filter._forward: {"x": "", "weights": "fp32", "out": ""},
    triton_filter._grad_x: {"grad": "", "weights": "fp32", "sums": "fp32", "result": ""},
    triton_filter._grad_weights: {"grad": "", "x": "", "weights": "fp32", "result": "fp32"},
}
"""Of each kernel its tensors' dtypes; that of the map where there is none."""


def compile_kernel(kernel, dtype: str, channels_last: bool) -> None:
    constants = {
        "KERNEL_SIZE": 3, "STRIDE": 2, "ROW_MODE": "reflect", "COLUMN_MODE": "reflect",
        "SOFTMAX": True, "CHANNELS_LAST": channels_last, "DTYPE": tl.float32,
        "BLOCK_C": 8, "BLOCK_W": 64,
    }  # fmt: skip
    inner = "_c" if channels_last else "_w"
    constants |= {name: 1 for name in kernel.arg_names if name.endswith(inner)}
    tensors = TENSORS[kernel]
    signature = {
        name: "constexpr" if name in constants else f"*{tensors[name] or dtype}"
        if name in tensors else "i32"
        for name in kernel.arg_names
    }  # fmt: skip
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 2})
    assert compiled.asm["cubin"]


for kernel, dtype, channels_last in itertools.product(TENSORS, ("fp32", "bf16"), (False, True)):
    compile_kernel(kernel, dtype, channels_last)
    print(kernel.__name__, dtype, channels_last)
