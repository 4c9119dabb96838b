"""Checks linear-stream.cu against float64, then times it beside torch (cuBLASLt, bf16) with the shares of this GPU's memory speed.

    bash neural-build.sh && python3 linear_stream.py check time
    CUBINS=variants.cubin python3 linear_stream.py time v_q4_g128_bf16_8_2_8_3_2 ..   # kernels named .. rows, tiles, warps, stages, blocks
"""
import math, sys
import numpy as np
import torch
from neural import TYPES, Linear, P, cuda, dev, failures, graphed, guarded, launch, packed, report, rms, stored, untouched, weight_bytes

MULTIPROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count
LONG = (2, 16, 2, 1)  # 4 rows and at least 8192 columns
WIDE = (4, 4, 2, 2)  # 16 rows and at least 128 outputs a multiprocessor
# most rows: tiles of outputs a warp at a time, warps, stages, blocks a multiprocessor
KERNELS = {"q4_g128": {4: (2, 8, 3, 2), 8: (2, 16, 2, 1), 16: (2, 8, 2, 1)}, "bf16": {8: (1, 8, 3, 2)}, "f16": {8: (1, 8, 3, 2)}}


def linear(dtype, act, x, weight, outs, bias, out, kernel=None, overlap=False):
    rows, columns = x.shape
    most = next(m for m in KERNELS[dtype] if rows <= m)
    vectors = columns % 8 == 0 and x.stride(0) % 8 == 0 and x.data_ptr() % 16 == 0
    op = Linear(x.data_ptr(), x.stride(0), weight.data_ptr(), 0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0),
                rows, columns, outs, int(out.dtype == torch.float32), int(vectors))
    four_bit = dtype == "q4_g128"
    wide, long = four_bit and most == 16 and outs >= 128 * MULTIPROCESSORS, four_bit and most == 4 and columns >= 8192
    several, warps, stages, blocks = map(int, kernel.split("_")[-4:]) if kernel else WIDE if wide else LONG if long else KERNELS[dtype][most]
    stage = several * 1088 + rows * 256 if dtype == "q4_g128" else 4096
    across = (most + 7) // 8
    sums = (1 if several * across >= 4 else 2) * warps * 8 * across * (16 * several + 1) * 4
    tiles, slots = math.ceil(outs / 16 / several), blocks * MULTIPROCESSORS
    grid = math.ceil(tiles / math.ceil(tiles / slots))
    launch(kernel or f"linear_stream_{dtype}_{act}_{most}{'_wide' if wide else '_long' if long else ''}", (grid,), 32 * warps, warps * stages * stage + sums, op, overlap=overlap)


def check():
    rng = np.random.default_rng(3)
    worst, cases = {}, 0
    for dtype, kernels in KERNELS.items():
        for act in ("bf16", "f16"):
            if dtype in TYPES and dtype != act:
                continue
            for rows, columns, outs, pad, biased in ((1, 128, 16, 0, False), (1, 4096, 4608, 0, False), (3, 256, 100, 3, True), (8, 1152, 33, 0, True), (5, 16384, 72, 8, False), (16, 4096, 129, 0, True), (13, 256, 17000, 0, True), (9, 128, 5, 1, False), (2, 192, 40, 0, True), (7, 72, 24, 0, False), (4, 333, 19, 5, True)):
                if rows > max(kernels) or (dtype not in TYPES and columns % 128):
                    continue
                data, exact = stored(dtype, outs, columns, rng)
                weight = packed(dtype, outs, columns, data)
                whole_x = torch.full((rows + 2, columns + pad + 8), math.nan, dtype=TYPES[act], device=dev)
                x = whole_x[1 : rows + 1, :columns]
                x.copy_(torch.randn(rows, columns, device=dev))
                bias = torch.randn(outs, device=dev) if biased else None
                ref = x.double() @ torch.from_numpy(exact).to(dev).T + (0 if bias is None else bias.double())
                for out_type in (torch.float32, TYPES[act]):
                    whole, out = guarded(rows, outs, out_type, pad)
                    linear(dtype, act, x, weight, outs, bias, out)
                    torch.cuda.synchronize()
                    error, what = rms(out.double(), ref), f"linear_stream {dtype} {act} {rows} x {columns} x {outs} {out_type}"
                    limit = 3e-6 + columns / 16 * 2.0**-24 + (0 if out_type == torch.float32 else 2.0**-8 if act == "bf16" else 2.0**-11)
                    report(what, error if error == error else math.inf, limit)
                    if not untouched(whole, outs, pad):
                        failures.append(what + " wrote outside")
                    key = f"{dtype} {act} {'f32' if out_type == torch.float32 else 'act'}"
                    worst[key], cases = max(worst.get(key, 0), error), cases + 1
    print(f"linear_stream: {cases} cases, {len(failures)} wrong; relative RMS error", {k: f"{v:.1e}" for k, v in worst.items()}, flush=True)


def memory_speed():
    """Bytes a microsecond of reading alone: a sum over 2 GiB, and of a copy, both directions counted."""
    data = torch.zeros(2**29, dtype=torch.float32, device=dev)
    other = torch.empty_like(data)
    copy = graphed(lambda i: other.copy_(data), 2)[0]
    read = graphed(lambda i: torch.sum(data), 2)[0]
    print(f"memory: reading {2**31 / read / 1e6:.2f} TB/s, copying {2**32 / copy / 1e6:.2f} TB/s", flush=True)
    return max(2**31 / read, 2**32 / copy)


def time(names):
    speed = memory_speed()
    for rows, columns, outs in ((1, 4096, 32768), (1, 16384, 4096), (1, 4096, 4608), (1, 4096, 4096), (1, 8192, 8192), (4, 4096, 32768), (8, 4096, 32768), (8, 16384, 4096), (16, 4096, 32768), (16, 16384, 4096)):
        x = torch.randn(rows, columns, device=dev).bfloat16()
        out = torch.empty(rows, outs, dtype=torch.bfloat16, device=dev)
        plain = [torch.randn(outs, columns, device=dev).bfloat16() * 0.1 for _ in range(max(2, min(12, 2**28 // (outs * columns * 2))))]
        base = graphed(lambda i: torch.matmul(x, plain[i % len(plain)].T, out=out), len(plain))
        ref = x.float() @ plain[0].float().T
        print(f"{rows} x {columns} x {outs}: torch bf16 {base[0]:.2f} us, {outs * columns * 2 / base[0] / speed:.2f} of memory speed", flush=True)
        for kernel in names or [None]:
            for dtype in ("q4_g128", "bf16"):
                most = next((m for m in KERNELS[dtype] if rows <= m), None)
                if most is None or (kernel and f"_{dtype}_bf16_{most}_" not in kernel):
                    continue
                size = weight_bytes(dtype, outs, columns)
                if dtype == "bf16":
                    ws = plain
                    linear(dtype, "bf16", x, ws[0], outs, None, out, kernel)
                    torch.cuda.synchronize()
                    report(f"timed {kernel} {rows} x {columns} x {outs}", rms(out.float(), ref), 0.004)
                else:
                    ws = [torch.randint(0, 60, (size,), dtype=torch.uint8, device=dev) for _ in range(max(4, min(24, 2**28 // size)))]
                n = len(ws)
                m, low, high = graphed(lambda i: linear(dtype, "bf16", x, ws[i % n], outs, None, out, kernel, overlap=True), n)
                print(f"    {kernel or dtype:32s} {m:8.2f} us ({low:.2f} to {high:.2f})  {size / m / 1e6:5.2f} TB/s, {size / m / speed:.2f} of memory speed, {base[0] / m:.2f}x torch bf16", flush=True)
                if dtype != "bf16":
                    del ws


if __name__ == "__main__":
    if "check" in sys.argv:
        check()
    if "time" in sys.argv:
        time(sys.argv[sys.argv.index("time") + 1 :])
    print("failures:", len(failures), failures[:20])
