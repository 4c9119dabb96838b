"""Checks linear-whole.cu against float64, then times it alone and in a decoder's layer, beside linear-stream.cu and torch.

    bash neural-build.sh && python3 linear_whole.py check time
    CUBINS=variants.cubin python3 linear_whole.py time linear_whole_q4_g128_bf16_4:16_4_1 ..   # kernel: warps, stages, blocks

A product that follows itself overlaps with itself: variants of few warps look better alone than in a layer, where they wait for
each other. So a layer's products also run in their order, with the small kernels between them but attention.
"""
import ctypes, math, sys
import numpy as np
import torch
from linear_gated import gated
from linear_stream import MULTIPROCESSORS, linear, memory_speed
from neural import F, I, I64, P, TYPES, Linear, dev, failures, graphed, guarded, launch, p, packed, report, rms, stored, untouched, weight_bytes

# most rows, warps, stages, blocks a multiprocessor
KERNELS = {"linear_whole": {"2": (2, 8, 4, 2), "2_even": (2, 16, 2, 1), "2_long": (2, 16, 3, 1), "4": (4, 16, 2, 1)}, "gated_whole": {"2": (2, 8, 4, 2), "4": (4, 16, 2, 1)}}
HIDDEN, QKV, WIDTH, LAYERS = 4096, 4608, 16384, 6


class Around(ctypes.Structure):
    _fields_ = [("gains", P), ("stream", P), ("stride", I64), ("epsilon", F), ("scale", F)]


def whole(kind, name, act, x, weight, outs, out, bias=None, gains=None, stream=None, overlap=False):
    """False when x does not fit into shared memory."""
    rows, columns = x.shape
    most, warps, stages, blocks = KERNELS[kind][name]
    vectors = columns % 8 == 0 and x.stride(0) % 8 == 0 and x.data_ptr() % 16 == 0
    op = Linear(x.data_ptr(), x.stride(0), weight.data_ptr(), 0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0),
                rows, columns, outs, int(out.dtype == torch.float32), int(vectors))
    around = Around(0 if gains is None else gains.data_ptr(), 0 if stream is None else stream.data_ptr(), 0 if stream is None else stream.stride(0), 1e-6, 0.25)
    shared = warps * stages * 2 * 1088 + columns // 128 * rows * 420 + 4 * (2 * warps * 2 * most * 33 + most * warps)
    if shared > 232448:
        return False
    tiles = math.ceil(outs / 32)
    grid = math.ceil(tiles / math.ceil(tiles / (blocks * MULTIPROCESSORS)))
    launch(f"{kind}_q4_g128_{act}_{name}", (grid,), 32 * warps, shared, op, around, overlap=overlap)
    return True


def check():
    rng, cases, worst = np.random.default_rng(8), 0, {}
    torch.manual_seed(8)
    shapes = ((1, 128, 16, 0), (1, 4096, 4608, 0), (2, 1152, 33, 3), (3, 256, 100, 0), (4, 4096, 72, 8), (1, 16384, 64, 0), (4, 128, 129, 1), (2, 8192, 40, 0))
    for act in ("bf16", "f16"):
        rounding = 2.0**-8 if act == "bf16" else 2.0**-11
        for name, (most, *_) in KERNELS["linear_whole"].items():
            for rows, columns, outs, pad in shapes:
                if rows > most:
                    continue
                data, exact = stored("q4_g128", outs, columns, rng)
                weight, exact = packed("q4_g128", outs, columns, data), torch.from_numpy(exact).to(dev)
                whole_x = torch.full((rows, columns + pad + 8), math.nan, dtype=TYPES[act], device=dev)
                x = whole_x[:, :columns]
                x.copy_(torch.randn(rows, columns, device=dev))
                x[:, 5] *= 100  # the rest of its unit keeps its digits
                bias, gains = torch.randn(outs, device=dev), torch.rand(columns, device=dev)
                normed = x.double() / (x.double().pow(2).mean(1, keepdim=True) + 1e-6).sqrt() * gains.double()
                for what, rows_of, given in (("plain", x.double(), dict(bias=bias)), ("normed", normed, dict(gains=gains))):
                    guard, out = guarded(rows, outs, torch.float32, pad)
                    if not whole("linear_whole", name, act, x, weight, outs, out, **given):
                        continue
                    torch.cuda.synchronize()
                    ref = rows_of @ exact.T + (bias.double() if "bias" in given else 0)
                    error = rms(out.double(), ref)
                    report(f"linear_whole {name} {act} {what} {rows} x {columns} x {outs}", error if error == error else math.inf, 1e-6)
                    if not untouched(guard, outs, pad):
                        failures.append(f"linear_whole {name} {rows} x {columns} x {outs} wrote outside")
                    worst[what], cases = max(worst.get(what, 0), error), cases + 1
                stream = torch.randn(rows, outs, device=dev).to(TYPES[act])
                sums = stream.double() + 0.25 * (x.double() @ exact.T)
                if whole("linear_whole", name, act, x, weight, outs, stream, stream=stream):
                    torch.cuda.synchronize()
                    report(f"linear_whole {name} {act} added {rows} x {columns} x {outs}", rms(stream.double(), sums), 2 * rounding)
                    cases += 1
        for name, (most, *_) in KERNELS["gated_whole"].items():
            for rows, columns, width in ((1, 128, 16), (2, 4096, 1600), (4, 384, 4800)):
                if rows > most:
                    continue
                data, exact = stored("q4_g128", 2 * width, columns, rng)
                weight = packed("q4_g128", 2 * width, columns, data)
                x = torch.randn(rows, columns, device=dev).to(TYPES[act])
                both = (x.double() @ torch.from_numpy(exact).to(dev).T).to(TYPES[act]).double()
                out = torch.empty(rows, width, dtype=TYPES[act], device=dev)
                whole("gated_whole", name, act, x, weight, 2 * width, out)
                torch.cuda.synchronize()
                g, u = both[:, :width], both[:, width:]
                report(f"gated_whole {name} {act} {rows} x {columns} x {width}", rms(out.double(), g * g.sigmoid() * u), 2 * rounding)
                cases += 1
    print(f"linear_whole: {cases} cases, {len(failures)} wrong; relative RMS error in f32", {k: f"{v:.1e}" for k, v in worst.items()}, flush=True)


def copies(outs, columns, count):
    size = weight_bytes("q4_g128", outs, columns)
    return [torch.randint(0, 60, (size,), dtype=torch.uint8, device=dev) for _ in range(count)]


def alone(speed):
    for rows in (1, 2, 4):
        for columns, outs, name in ((4096, 32768, "2"), (16384, 4096, "2_long"), (4096, 4608, "2_even"), (4096, 4096, "2"), (8192, 8192, "2")):
            name = "4" if rows > 2 else name
            size = weight_bytes("q4_g128", outs, columns)
            ws = copies(outs, columns, max(4, min(24, 2**28 // size)))
            x, out = torch.randn(rows, columns, device=dev).bfloat16(), torch.empty(rows, outs, device=dev).bfloat16()
            if not whole("linear_whole", name, "bf16", x, ws[0], outs, out):
                continue
            new = graphed(lambda i: whole("linear_whole", name, "bf16", x, ws[i % len(ws)], outs, out, overlap=True), len(ws))[0]
            old = graphed(lambda i: linear("q4_g128", "bf16", x, ws[i % len(ws)], outs, None, out, overlap=True), len(ws))[0]
            print(f"{rows} x {columns} x {outs}: {new:.2f} us, {size / new / 1e6:.2f} TB/s, {size / new / speed:.2f} of memory speed ({name}); linear_stream {old:.2f} us", flush=True)


def layer(rows, how):
    """A layer's products: apart ("stream", "whole"), or with norms and additions taken along ("fused")."""
    gate_up, down, qkv, output = (copies(outs, columns, LAYERS) for outs, columns in ((2 * WIDTH, HIDDEN), (HIDDEN, WIDTH), (QKV, HIDDEN), (HIDDEN, HIDDEN)))
    x, normed, delta, q, gated_rows = (torch.randn(rows, n, device=dev).bfloat16() for n in (HIDDEN, HIDDEN, HIDDEN, QKV, WIDTH))
    gains = [torch.ones(HIDDEN, device=dev) for _ in range(2 * LAYERS)]
    positions, frequencies = torch.zeros(rows, dtype=torch.int32, device=dev), torch.ones(64, device=dev)

    def norm(i):
        launch("rms_norm_bf16", (rows,), 512, 0, p(x), I64(HIDDEN), p(delta), I64(HIDDEN), F(0.25), p(gains[i]), F(1e-6), p(normed), I64(HIDDEN), I(HIDDEN), I(1), overlap=True)

    def rotate():
        launch("rotate_bf16", (rows, 9), 128, 512, p(q), I64(QKV), p(positions), p(frequencies), I(64), F(1.0), P(0), F(0), I(34), I(128), I(4), overlap=True)

    def run(i):
        k = i % LAYERS
        if how == "fused":
            whole("gated_whole", "2", "bf16", x, gate_up[k], 2 * WIDTH, gated_rows, gains=gains[2 * k], overlap=True)
            whole("linear_whole", "2_long", "bf16", gated_rows, down[k], HIDDEN, x, stream=x, overlap=True)
            whole("linear_whole", "2_even", "bf16", x, qkv[k], QKV, q, gains=gains[2 * k + 1], overlap=True)
            rotate()
            whole("linear_whole", "2", "bf16", q[:, :HIDDEN], output[k], HIDDEN, x, stream=x, overlap=True)
            return
        norm(2 * k)
        if how == "whole":
            whole("gated_whole", "2", "bf16", normed, gate_up[k], 2 * WIDTH, gated_rows, overlap=True)
            whole("linear_whole", "2_long", "bf16", gated_rows, down[k], HIDDEN, delta, overlap=True)
        else:
            gated("q4_g128", "bf16", normed, gate_up[k], WIDTH, gated_rows, overlap=True)
            linear("q4_g128", "bf16", gated_rows, down[k], HIDDEN, None, delta, overlap=True)
        norm(2 * k + 1)
        for a, w, outs, out, name in ((normed, qkv, QKV, q, "2_even"), (q[:, :HIDDEN], output, HIDDEN, delta, "2")):
            if how == "whole": whole("linear_whole", name, "bf16", a, w[k], outs, out, overlap=True)
            else: linear("q4_g128", "bf16", a, w[k], outs, None, out, overlap=True)
            if outs == QKV: rotate()

    median, least, most = graphed(run, LAYERS)
    print(f"a layer's products, {rows} rows, {how}: {median:.2f} us ({least:.2f} to {most:.2f})", flush=True)


if __name__ == "__main__":
    for variant in (a for a in sys.argv[1:] if ":" in a):
        kernel, numbers = variant.split(":")
        kind, name = kernel.split("_q4_g128_bf16_")
        KERNELS[kind][name] = (KERNELS[kind].get(name, (int(name.split("_")[0]),))[0], *map(int, numbers.split("_")))
    if "check" in sys.argv:
        check()
    if "time" in sys.argv:
        alone(memory_speed())
        for rows in (1, 2):
            for how in ("stream", "whole", "fused"):
                layer(rows, how)
    print("failures:", len(failures), failures[:20])
