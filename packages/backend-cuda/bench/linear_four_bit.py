"""Checks linear-four-bit.cu against float64, then times it beside torch (cuBLASLt, bf16 weights) and the way through scratch.

    bash neural-build.sh && python3 linear_four_bit.py check time
"""
import ctypes, math, sys
import numpy as np
import torch
from linear_hopper import MULTIPROCESSORS, Attribute, Config, Op, function, poisoned, tensor_map
from neural import F, I, I64, P, TYPES, cuda, dev, failures, graphed, guarded, launch, p, packed, report, rms, stored, untouched, weight_bytes

RINGS = {32: (6, 6), 64: (6, 4), 128: (6, 4), 256: (4, 4)}


def linear(split, x, weight, columns, bias, out, width=None):
    rows, outs = x.shape[0], out.shape[1]
    width = width or next((w for w in (32, 64, 128) if rows <= w), 256)
    stages, tiles = RINGS[width]
    shared = max(stages * width * 128 + 8 * tiles * 1088, width * 132 * 4) // 16 * 16 + 16 + 16 * stages + 1024
    f = function(f"linear_four_bit_{'f16' if x.dtype == torch.float16 else 'bf16'}_{width}", shared)
    op = Op(0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0), rows, columns, outs, int(out.dtype == torch.float32))
    x_map, w = tensor_map(x, rows, columns, x.stride(0), width), P(weight.data_ptr())
    attribute = Attribute(4, 0, (ctypes.c_uint32 * 16)(split, 1, 1))
    grid = (ctypes.c_uint32 * 3)(math.ceil(rows / width) * math.ceil(outs / 128) * split, 1, 1)
    block = (ctypes.c_uint32 * 3)(384 if width == 256 else 288, 1, 1)
    config = Config(grid, block, shared, torch.cuda.current_stream().cuda_stream, ctypes.addressof(attribute), int(split > 1))
    pointers = (P * 3)(ctypes.addressof(op), ctypes.addressof(w), x_map[1])
    status = cuda.cuLaunchKernelEx(ctypes.byref(config), f, pointers, None)
    assert status == 0, (split, rows, columns, outs, status)


def splits_of(columns):
    return [s for s in (1, 2, 4, 8) if s <= math.ceil(columns / 128)]


def check():
    rng, worst, cases = np.random.default_rng(4), {}, 0
    torch.manual_seed(5)
    for number, (rows, columns, outs) in enumerate(((17, 128, 16), (30, 4096, 100), (33, 256, 259), (64, 1152, 4608), (100, 640, 72), (256, 4096, 520), (300, 1408, 1000), (513, 4096, 4096))):
        for act in ("bf16", "f16"):
            data, exact = stored("q4_g128", outs, columns, rng)
            weight, x = packed("q4_g128", outs, columns, data), poisoned(rows, columns, TYPES[act])
            bias = torch.randn(outs, device=dev) if number % 2 else None
            ref = x.double() @ torch.from_numpy(exact).to(dev).T + (0 if bias is None else bias.double())
            eps = 2.0**-8 if act == "bf16" else 2.0**-11
            for split in splits_of(columns):
                for out_type, pad in ((torch.float32, 4 if number % 3 else 1), (TYPES[act], 0)):
                    whole, out = guarded(rows, outs, out_type, pad)
                    print("running", rows, columns, outs, act, split, flush=True) if cases < 4 else None
                    linear(split, x, weight, columns, bias, out)
                    torch.cuda.synchronize()
                    error, what = rms(out.double(), ref), f"linear_four_bit {act} {rows} x {columns} x {outs} split {split} {out_type}"
                    limit = 3e-6 + columns / 16 * 2.0**-24 + eps + (0 if out_type == torch.float32 else eps)
                    report(what, error if error == error else math.inf, limit)
                    if not untouched(whole, outs, pad):
                        failures.append(what + " wrote outside")
                    worst[act], cases = max(worst.get(act, 0), error), cases + 1
    print(f"linear_four_bit: {cases} cases, {len(failures)} wrong; relative RMS error", {k: f"{v:.1e}" for k, v in worst.items()}, flush=True)


def time():
    for rows, columns, outs in ((32, 4096, 32768), (64, 4096, 4096), (64, 16384, 4096), (128, 4096, 32768), (256, 4096, 32768), (256, 16384, 4096), (256, 4096, 4608), (512, 4096, 32768), (1024, 4096, 4096), (4096, 4096, 32768), (4096, 16384, 4096)):
        x = torch.randn(rows, columns, device=dev).bfloat16()
        out = torch.empty(rows, outs, dtype=torch.bfloat16, device=dev)
        plain = [torch.randn(outs, columns, device=dev).bfloat16() * 0.1 for _ in range(2)]
        tera = 2 * rows * columns * outs / 1e6
        base = graphed(lambda i: torch.matmul(x, plain[i % 2].T, out=out), 4)
        print(f"{rows} x {columns} x {outs}: torch bf16 {base[0]:.2f} us, {tera / base[0]:.0f} TFLOP/s", flush=True)
        ws = [torch.randint(0, 60, (weight_bytes("q4_g128", outs, columns),), dtype=torch.uint8, device=dev) for _ in range(8)]
        fits = next((w for w in (32, 64, 128) if rows <= w), 256)
        for split, width in [(s, w) for w in {fits, max(32, fits // 2)} for s in splits_of(columns)]:
            m, low, high = graphed(lambda i: linear(split, x, ws[i % 8], columns, None, out, width), 8)
            print(f"    width {width:3d} split {split}  {m:9.2f} us ({low:.2f} to {high:.2f})  {tera / m:6.0f} TFLOP/s  {base[0] / m:.2f}x torch bf16", flush=True)
        scratch = plain[0]

        def through_scratch(i):
            launch("embed_q4_g128_bf16", (outs,), 128, 0, P(0), p(ws[i % 8]), p(scratch), I64(columns), I(outs), I(columns), F(1))
            torch.matmul(x, scratch.T, out=out)

        m, low, high = graphed(through_scratch, 4)
        print(f"    scratch  {m:9.2f} us ({low:.2f} to {high:.2f})  {tera / m:6.0f} TFLOP/s  {base[0] / m:.2f}x torch bf16", flush=True)
        del ws, plain, scratch


if __name__ == "__main__":
    if "check" in sys.argv:
        check()
    if "time" in sys.argv:
        time()
    print("failures:", len(failures), failures[:20])
