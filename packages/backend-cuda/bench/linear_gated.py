"""Checks the swiglu of two projections in one launch (linear-stream.cu) against both ops apart, then times both ways.

    bash neural-build.sh && python3 linear_gated.py check time
"""
import math, sys
import numpy as np
import torch
from linear_stream import MULTIPROCESSORS, linear
from neural import I, I64, TYPES, Linear, dev, failures, graphed, guarded, launch, p, packed, report, rms, stored, untouched, weight_bytes

# most rows: warps, stages, blocks a multiprocessor; two tiles of outputs at a time
KERNELS = {"q4_g128": {4: (8, 3, 2), 8: (16, 2, 1)}, "bf16": {8: (8, 3, 1)}, "f16": {8: (8, 3, 1)}}


def gated(dtype, act, x, weight, width, out, overlap=False):
    rows, columns = x.shape
    most = next(m for m in KERNELS[dtype] if rows <= m)
    warps, stages, blocks = KERNELS[dtype][most]
    vectors = columns % 8 == 0 and x.stride(0) % 8 == 0 and x.data_ptr() % 16 == 0
    op = Linear(x.data_ptr(), x.stride(0), weight.data_ptr(), 0, out.data_ptr(), out.stride(0), rows, columns, 2 * width, 0, int(vectors))
    stage = 2 * 1088 + rows * 256 if dtype == "q4_g128" else 8192
    shared = warps * stages * stage + 2 * warps * 8 * 33 * 4
    tiles = width // 16
    grid = math.ceil(tiles / math.ceil(tiles / (blocks * MULTIPROCESSORS)))
    launch(f"linear_gated_{dtype}_{act}_{most}", (grid,), 32 * warps, shared, op, overlap=overlap)


def swiglu(act, gate_up, out, overlap=False):
    rows, width = out.shape
    launch(f"swiglu_{act}", (rows, math.ceil(width / 2048)), 256, 0, p(gate_up), I64(gate_up.stride(0)), p(out), I64(out.stride(0)), I(width), I(int(width % 8 == 0)), overlap=overlap)


def check():
    rng, cases = np.random.default_rng(6), 0
    torch.manual_seed(6)
    for dtype in KERNELS:
        for act in ("bf16", "f16"):
            if dtype in TYPES and dtype != act:
                continue
            for rows, columns, width in ((1, 128, 16), (1, 4096, 1600), (3, 256, 48), (8, 1152, 32), (5, 384, 6400)):
                data, exact = stored(dtype, 2 * width, columns, rng)
                weight = packed(dtype, 2 * width, columns, data)
                x = torch.randn(rows, columns, device=dev).to(TYPES[act])
                whole, out = guarded(rows, width, TYPES[act], 8)
                gated(dtype, act, x, weight, width, out)
                torch.cuda.synchronize()
                both = (x.double() @ torch.from_numpy(exact).to(dev).T).to(TYPES[act]).double()
                g, u = both[:, :width], both[:, width:]
                error = rms(out.double(), g * g.sigmoid() * u)
                report(f"linear_gated {dtype} {act} {rows} x {columns} x {width}", error if error == error else math.inf, 2 * (2.0**-8 if act == "bf16" else 2.0**-11))
                if not untouched(whole, width, 8):
                    failures.append(f"linear_gated {dtype} {act} {rows} x {columns} x {width} wrote outside")
                cases += 1
    print(f"linear_gated: {cases} cases, {len(failures)} wrong", flush=True)


def time():
    for rows in (1, 4, 8):
        x = torch.randn(rows, 4096, device=dev).bfloat16()
        both, out = torch.empty(rows, 32768, dtype=torch.bfloat16, device=dev), torch.empty(rows, 16384, dtype=torch.bfloat16, device=dev)
        for dtype in ("q4_g128", "bf16"):
            ws = [torch.randint(0, 60, (weight_bytes(dtype, 32768, 4096),), dtype=torch.uint8, device=dev) for _ in range(4)]

            def apart(i):
                linear(dtype, "bf16", x, ws[i % 4], 32768, None, both, overlap=True)
                swiglu("bf16", both, out, overlap=True)

            one = graphed(lambda i: gated(dtype, "bf16", x, ws[i % 4], 16384, out, overlap=True), 4)[0]
            two = graphed(apart, 4)[0]
            print(f"{rows} x 4096 x 2 x 16384 {dtype}: {one:.2f} us in one, {two:.2f} in two", flush=True)


if __name__ == "__main__":
    if "check" in sys.argv:
        check()
    if "time" in sys.argv:
        time()
    print("failures:", len(failures), failures[:20])
