"""Checks linear-tiles.cu and linear-split.cu against float64, then times all their variants beside torch (cuBLASLt).

    bash neural-build.sh && python3 linear_hopper.py check time
"""
import ctypes, math, sys
import torch
from neural import I, I64, P, TYPES, cuda, dev, failures, graphed, guarded, modules, report, rms, untouched

TILES, SPLIT = {192: 5, 256: 4}, {16: 6, 32: 5, 64: 4, 128: 3, 256: 4}
MULTIPROCESSORS = torch.cuda.get_device_properties(0).multi_processor_count
functions, started = {}, set()


class Op(ctypes.Structure):
    _fields_ = [("bias", P), ("out", P), ("out_stride", I64)] + [(n, I) for n in "rows columns outs out_f32".split()]


class Attribute(ctypes.Structure):
    _fields_ = [("id", I), ("pad", I), ("value", ctypes.c_uint32 * 16)]


class Config(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint32 * 3), ("block", ctypes.c_uint32 * 3), ("shared", ctypes.c_uint32), ("stream", P), ("attributes", P), ("count", ctypes.c_uint32)]


def tensor_map(t, rows, columns, stride, tile_rows):
    """[rows, columns] of 16-bit elements in boxes [tile_rows, 64] with 128-byte swizzle; the address of 128 bytes, kept by its buffer."""
    memory = ctypes.create_string_buffer(192)
    at = (ctypes.addressof(memory) + 63) // 64 * 64
    u64, u32 = ctypes.c_uint64, ctypes.c_uint32
    kind = 6 if t.dtype == torch.float16 else 9
    status = cuda.cuTensorMapEncodeTiled(P(at), I(kind), u32(2), P(t.data_ptr()), (u64 * 2)(columns, rows), (u64 * 1)(2 * stride), (u32 * 2)(64, tile_rows), (u32 * 2)(1, 1), I(0), I(3), I(3), I(0))
    assert status == 0, (status, rows, columns, stride, tile_rows)
    return memory, at


def function(name, shared):
    if name not in functions:
        f = P()
        assert any(cuda.cuModuleGetFunction(ctypes.byref(f), m, name.encode()) == 0 for m in modules), name
        assert cuda.cuFuncSetAttribute(f, 8, I(shared)) == 0
        functions[name] = f
    return functions[name]


def linear(variant, x, weight, columns, bias, out):
    """variant: (kernel, width, cluster); weight [outs, pitch]."""
    kernel, width, cluster = variant
    rows, outs = x.shape[0], out.shape[1]
    tiles = kernel == "tiles"
    if tiles:
        clusters = min(math.ceil(rows / 128 / cluster) * math.ceil(outs / width), MULTIPROCESSORS // cluster)
    else:
        clusters = math.ceil(rows / width) * math.ceil(outs / 128)
    shared = (TILES if tiles else SPLIT)[width] * ((128 + width) * 128 + 16) + 1024
    f = function(f"linear_{kernel}_{'f16' if x.dtype == torch.float16 else 'bf16'}_{width}", shared)
    op = Op(0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0), rows, columns, outs, int(out.dtype == torch.float32))
    maps = [tensor_map(x, rows, columns, x.stride(0), 128 if tiles else width), tensor_map(weight, outs, columns, weight.stride(0), width // 2 if tiles else 128)]
    attribute = Attribute(4, 0, (ctypes.c_uint32 * 16)(cluster, 1, 1))
    grid, block = (ctypes.c_uint32 * 3)(clusters * cluster, 1, 1), (ctypes.c_uint32 * 3)(384 if tiles else 288, 1, 1)
    config = Config(grid, block, shared, torch.cuda.current_stream().cuda_stream, ctypes.addressof(attribute), int(cluster > 1))
    pointers = (P * 3)(ctypes.addressof(op), maps[0][1], maps[1][1])
    status = cuda.cuLaunchKernelEx(ctypes.byref(config), f, pointers, None)
    assert status == 0, (variant, status)


def variants(rows, columns):
    steps = math.ceil(columns / 64)
    width = next((w for w in (16, 32, 64, 128) if rows <= w), 256)
    splits = [("split", width, s) for s in (1, 2, 4, 8) if s <= steps]
    return splits + [("tiles", w, c) for w in (192, 256) for c in (1, 2)]


def poisoned(rows, columns, dtype, scale=1.0):
    """A view whose rows start at multiples of 16 bytes, NaN all around."""
    pitch = (columns + 7) // 8 * 8 + 8
    whole = torch.full((rows + 3, pitch + 8), math.nan, dtype=dtype, device=dev)
    view = whole[1 : rows + 1, 8 : 8 + columns]
    view.copy_(torch.randn(rows, columns, device=dev) * scale)
    return view


def check_case(act, rows, columns, outs, out_type, pad, biased, worst):
    x, weight = poisoned(rows, columns, TYPES[act]), poisoned(outs, columns, TYPES[act], 0.1)
    bias = torch.randn(outs, device=dev) if biased else None
    ref = x.double() @ weight.double().T + (0 if bias is None else bias.double())
    eps = 2.0**-8 if act == "bf16" else 2.0**-11
    for variant in variants(rows, columns):
        if (variant, act) not in started:
            started.add((variant, act))
            print("first run of", variant, act, flush=True)  # the last line tells which one hangs
        what = f"linear {variant} {act} {rows} x {columns} x {outs} {out_type} bias {biased} pad {pad}"
        results = []
        for again in range(2):
            whole, out = guarded(rows, outs, out_type, pad)
            linear(variant, x, weight, columns, bias, out)
            torch.cuda.synchronize()
            results.append(whole)
        error = rms(out.double(), ref)
        # One rounding of the accumulator, towards zero, for each product of 16 columns.
        limit = 3e-6 + columns / 16 * 2.0**-24 + (0 if out_type == torch.float32 else eps)
        report(what, error if error == error else math.inf, limit)
        if not torch.equal(*results):
            failures.append(what + " differs between equal calls")
            print("FAIL", failures[-1], flush=True)
        if not untouched(whole, outs, pad):
            failures.append(what + " wrote outside")
            print("FAIL", failures[-1], flush=True)
        key = f"{variant[0]} {act} {'f32' if out_type == torch.float32 else 'act'}"
        worst[key] = max(worst.get(key, 0), error)


def check():
    torch.manual_seed(11)
    worst, cases = {}, 0
    shapes = [(rows, columns, outs) for rows in (9, 17, 33, 65, 130, 257, 300) for columns, outs in ((64, 256), (72, 100), (1000, 259), (1, 1), (2056, 520))]
    shapes += [(513, 4096, 4096), (2100, 1003, 1000), (64, 4096, 4096)]
    for number, (rows, columns, outs) in enumerate(shapes):
        for act in ("bf16", "f16"):
            wide = (number + (act == "f16")) % 2 == 0
            check_case(act, rows, columns, outs, TYPES[act], 0 if wide else 3, number % 3 == 0, worst)
            check_case(act, rows, columns, outs, torch.float32, 4 if wide else 1, number % 3 == 1, worst)
            cases += 2
        print(f"checked {rows} x {columns} x {outs}, failures {len(failures)}", flush=True)
    print(f"linear on Hopper: {cases} cases; relative RMS error", {k: f"{v:.1e}" for k, v in worst.items()})


def time():
    torch.manual_seed(12)
    for rows, columns, outs in ((16, 4096, 12288), (32, 4096, 12288), (64, 4096, 4096), (64, 4096, 12288), (64, 12288, 4096), (128, 4096, 4096), (128, 4096, 12288), (256, 4096, 4096), (512, 4096, 4096), (512, 4096, 12288), (2048, 4096, 4096), (2048, 4096, 24576), (4096, 4096, 4096), (4096, 4096, 512)):
        x = torch.randn(rows, columns, device=dev).bfloat16()
        ws = [(torch.randn(outs, columns, device=dev) * 0.1).bfloat16() for _ in range(4)]
        out = torch.empty(rows, outs, dtype=torch.bfloat16, device=dev)
        ref = x.float() @ ws[0].float().T
        base = graphed(lambda i: torch.matmul(x, ws[i % 4].T, out=out), 8)
        tera = 2 * rows * columns * outs / 1e6
        print(f"linear {rows} x {columns} x {outs}: torch {base[0]:.2f} us ({base[1]:.2f} to {base[2]:.2f}), {tera / base[0]:.0f} TFLOP/s", flush=True)
        lines = []
        for variant in variants(rows, columns):
            if variant[0] == "tiles" and rows <= 64:
                continue
            out.zero_()
            linear(variant, x, ws[0], columns, None, out)
            torch.cuda.synchronize()
            report(f"timed linear {variant} {rows} x {columns} x {outs}", rms(out.float(), ref), 0.003)
            lines.append((graphed(lambda i: linear(variant, x, ws[i % 4], columns, None, out), 8), variant))
        for (median, low, high), variant in sorted(lines):
            print(f"    {variant[0]:6s} {variant[1]:3d} cluster {variant[2]}  {median:9.2f} us ({low:.2f} to {high:.2f})  {tera / median:6.0f} TFLOP/s  {base[0] / median:.2f}x torch", flush=True)


if __name__ == "__main__":
    if "check" in sys.argv:
        check()
    if "time" in sys.argv:
        time()
    print("failures:", len(failures), failures[:20])
