"""Checks the kernels outside attention against float64, then times linear beside torch (cuBLASLt) in the same process.

    bash neural-build.sh && python3 neural.py check time
    python3 neural.py sample        # both for sampling alone
"""
import ctypes, glob, math, os, statistics, sys
import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
dev = torch.device("cuda")
torch.zeros(1, device=dev)
cuda = ctypes.CDLL("libcuda.so.1")
P, I, I64, F = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_float
modules, functions, granted = [], {}, {}
for file in sorted(glob.glob(os.path.join(HERE, "neural", "*.cubin")) + os.environ.get("CUBINS", "").split()):
    module = P()
    assert cuda.cuModuleLoad(ctypes.byref(module), file.encode()) == 0, file
    modules.append(module)
TYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
failures = []


class Linear(ctypes.Structure):
    _fields_ = [("x", P), ("x_stride", I64), ("weight", P), ("bias", P), ("out", P), ("out_stride", I64)]
    _fields_ += [(n, I) for n in "rows columns outs out_f32 vectors".split()]


class Batch(ctypes.Structure):
    _fields_ = [(n, P) for n in "starts positions lengths table".split()] + [("sequences", I), ("max_pages", I)]


class Config(ctypes.Structure):
    _fields_ = [("dims", ctypes.c_uint * 6), ("shared", ctypes.c_uint), ("stream", P), ("attributes", P), ("count", ctypes.c_uint)]


class Attribute(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint), ("pad", ctypes.c_uint), ("value", ctypes.c_uint * 16)]


def launch(name, grid, block, shared, *args, cluster=1, overlap=False):
    """`overlap`: the kernel may start before the launch before it is done."""
    if name not in functions:
        f = P()
        assert any(cuda.cuModuleGetFunction(ctypes.byref(f), m, name.encode()) == 0 for m in modules), name
        if cluster > 8:
            assert cuda.cuFuncSetAttribute(f, 14, 1) == 0
        functions[name] = f
    if shared > granted.get(name, 48 * 1024):
        assert cuda.cuFuncSetAttribute(functions[name], 8, shared) == 0
        granted[name] = shared
    grid = tuple(grid) + (1,) * (3 - len(grid))
    pointers = (P * len(args))(*[ctypes.cast(ctypes.pointer(a), P) for a in args])
    attribute = Attribute(6, 0, (ctypes.c_uint * 16)(1)) if overlap else Attribute(4, 0, (ctypes.c_uint * 16)(cluster, 1, 1))
    stream = torch.cuda.current_stream().cuda_stream
    config = Config((ctypes.c_uint * 6)(*grid, block, 1, 1), shared, stream, ctypes.addressof(attribute), int(cluster > 1 or overlap))
    status = cuda.cuLaunchKernelEx(ctypes.byref(config), functions[name], pointers, None)
    assert status == 0, (name, grid, status)


def p(t):
    return P(0 if t is None else t.data_ptr())


# ---- stored weights: random blocks and what they mean, written from the formats' description --------------------------
BLOCK = {"q8_0": (32, 34), "q4_0": (32, 18), "q4_1": (32, 20), "q4_g128": (128, 68), "q4_k": (256, 144), "q5_k": (256, 176), "q6_k": (256, 210)}


def stored(dtype, rows, columns, rng):
    """(native bytes [rows, ...], float64 [rows, columns])"""
    if dtype in TYPES:
        t = torch.from_numpy(rng.standard_normal((rows, columns)).astype(np.float32) * 0.1).to(TYPES[dtype])
        return t.contiguous().view(torch.uint8).reshape(rows, -1), t.double().numpy()
    elements, size = BLOCK[dtype]
    n = rows * columns // elements
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    scale = lambda low, high: rng.uniform(low, high, n).astype(np.float16)
    put = lambda at, h: b.__setitem__((slice(None), slice(at, at + 2)), h.view(np.uint8).reshape(n, 2))
    signed = rng.choice([-1.0, 1.0], n)
    if dtype == "q8_0":
        d = (scale(0.0005, 0.002) * signed).astype(np.float16)
        put(0, d)
        x = d.astype(float)[:, None] * b[:, 2:].view(np.int8)
    elif dtype == "q4_g128":
        d, zero = scale(0.01, 0.04), rng.integers(0, 17, n).astype(np.float16)
        put(0, d)
        put(2, zero)
        q = np.stack([b[:, 4:] & 15, b[:, 4:] >> 4], 2).reshape(n, 128).astype(float)
        x = d.astype(float)[:, None] * (q - zero.astype(float)[:, None])
    elif dtype in ("q4_0", "q4_1"):
        d = (scale(0.01, 0.04) * signed).astype(np.float16)
        put(0, d)
        at = 2
        if dtype == "q4_1":
            m = scale(-0.3, 0.1)
            put(2, m)
            at = 4
        q = np.concatenate([b[:, at:] & 15, b[:, at:] >> 4], 1).astype(float)
        x = d.astype(float)[:, None] * (q - 8) if dtype == "q4_0" else d.astype(float)[:, None] * q + m.astype(float)[:, None]
    elif dtype in ("q4_k", "q5_k"):
        d, m = scale(0.0003, 0.001), scale(0.0003, 0.002)
        put(0, d)
        put(2, m)
        s = b[:, 4:16].astype(int)
        x = np.empty((n, 256))
        nib = b[:, 48:] if dtype == "q5_k" else b[:, 16:]
        for g in range(8):
            if g < 4:
                sc, mn = s[:, g] & 63, s[:, g + 4] & 63
            else:
                sc, mn = (s[:, g + 4] & 15) | (s[:, g - 4] >> 6) << 4, (s[:, g + 4] >> 4) | (s[:, g] >> 6) << 4
            q = (nib[:, g // 2 * 32 : g // 2 * 32 + 32] >> (4 * (g % 2)) & 15).astype(float)
            if dtype == "q5_k":
                q += ((b[:, 16:48] >> g) & 1) * 16.0
            x[:, g * 32 : g * 32 + 32] = (d.astype(float) * sc)[:, None] * q - (m.astype(float) * mn)[:, None]
    else:
        d = scale(0.00002, 0.0001)
        put(208, d)
        x = np.empty((n, 256))
        sc = b[:, 192:208].view(np.int8).astype(float)
        for g in range(8):
            h, part = g // 4, g % 4
            low = b[:, h * 64 + part % 2 * 32 :][:, :32] >> (part // 2 * 4) & 15
            high = b[:, 128 + h * 32 :][:, :32] >> (part * 2) & 3
            q = (low | high << 4).astype(float) - 32
            x[:, g * 32 : g * 32 + 32] = d.astype(float)[:, None] * np.repeat(sc[:, 2 * g : 2 * g + 2], 16, 1) * q
    return torch.from_numpy(b.reshape(rows, -1)), x.reshape(rows, columns)


PLANES = {"q8_0": (128, 0, 0, 8), "q4_0": (64, 0, 0, 8), "q4_1": (64, 0, 0, 16), "q4_k": (64, 0, 8, 2), "q5_k": (64, 16, 8, 2), "q6_k": (64, 32, 8, 1)}


def weight_bytes(dtype, rows, columns):
    if dtype in TYPES:
        return rows * ((columns + 63) // 64 * 64) * (4 if dtype == "f32" else 2)
    if dtype == "q4_g128":
        return (rows + 15) // 16 * ((columns + 127) // 128) * 1088
    units = rows * ((columns + 127) // 128)
    return sum((units * b + 15) // 16 * 16 for b in PLANES[dtype])


def packed(dtype, rows, columns, data):
    """Two writes, the later rows first, into zeroed memory with a canary behind."""
    size = weight_bytes(dtype, rows, columns)
    memory = torch.zeros(size + 64, dtype=torch.uint8, device=dev)
    memory[size:] = 77
    name = "pack_weight_" + ("16" if dtype in ("f16", "bf16") else dtype)
    half = rows // 2
    for a, b in ((half, rows), (0, half)):
        if b == a:
            continue
        part = data[a:b].contiguous().to(dev)
        launch(name, (b - a, max(1, min(64, math.ceil(columns / 1024)))), 256, 0, p(part), p(memory), I(rows), I(columns), I(a))
        torch.cuda.synchronize()
    assert (memory[size:] == 77).all(), "pack_weight wrote past the end"
    return memory




def linear(dtype, act, x, weight, outs, columns, bias, out, path=None):
    rows = x.shape[0]
    vectors = columns % 8 == 0 and x.stride(0) % 8 == 0 and x.data_ptr() % 16 == 0
    op = Linear(x.data_ptr(), x.stride(0), weight.data_ptr(), 0 if bias is None else bias.data_ptr(), out.data_ptr(), out.stride(0),
                rows, columns, outs, int(out.dtype == torch.float32), int(vectors))
    path = path or ("few" if rows <= 32 else "many")
    if path == "few":
        launch(f"linear_few_{dtype}_{act}_{8 if rows <= 8 else 16 if rows <= 16 else 32}", (math.ceil(outs / 16),), 256, 0, op)
    else:
        tile = 256 if path == "wide" else 128
        launch(f"linear_wide_{act}" if tile == 256 else f"linear_many_{dtype}_{act}", (math.ceil(rows / 128), math.ceil(outs / tile)), tile, 3 * (128 + tile) * 128, op)


def report(what, error, limit):
    ok = error <= limit
    if not ok:
        failures.append(what)
        print(f"FAIL {what}: {error:.3g} > {limit:.3g}", flush=True)
    return ok


def rms(a, b):
    return float((a - b).norm() / b.norm()) if b.norm() > 0 else float(a.norm())


def guarded(rows, columns, dtype, pad):
    """A column view with odd stride inside a tensor of canaries."""
    whole = torch.full((rows, columns + 2 * pad), 123.0, dtype=dtype, device=dev)
    return whole, whole[:, pad : pad + columns]


def untouched(whole, columns, pad):
    return pad == 0 or bool((whole[:, :pad] == 123).all() and (whole[:, pad + columns :] == 123).all())


def check_linear():
    rng = np.random.default_rng(1)
    worst, cases = {}, 0
    for dtype in ("bf16", "f16", "f32", "q8_0", "q4_0", "q4_1", "q4_g128", "q4_k", "q5_k", "q6_k"):
        step = 1 if dtype in TYPES else BLOCK[dtype][0]
        for outs, columns in ((16, step * 4), (100, {1: 65, 32: 96, 128: 384, 256: 256}[step]), (259, {1: 1003, 32: 1184, 128: 1408, 256: 1280}[step]), (1, step)):
            data, w = stored(dtype, outs, columns, rng)
            weight = packed(dtype, outs, columns, data)
            wd = torch.from_numpy(w).to(dev)
            for act in ("bf16", "f16"):
                for rows in (1, 3, 8, 9, 20, 32, 33, 130, 300)[6 if dtype == "q4_g128" else 0 :]:  # fewer: linear_stream.py
                    pad, wide = (0, True) if rows % 2 else (3, False)
                    whole_x = torch.randn(rows, columns + 2 * pad, device=dev).to(TYPES[act])
                    x = whole_x[:, pad : pad + columns]
                    out_type = torch.float32 if wide or rows == 300 else TYPES[act]
                    whole, out = guarded(rows, outs, out_type, pad)
                    bias = torch.randn(outs, device=dev) if rows in (3, 9, 130) else None
                    linear(dtype, act, x, weight, outs, columns, bias, out, "wide" if rows in (130, 33) and act == dtype else None)
                    torch.cuda.synchronize()
                    ref = x.double() @ wd.T + (0 if bias is None else bias.double())
                    eps = 2.0**-8 if act == "bf16" else 2.0**-11
                    exact = rows <= 32 or dtype == act
                    limit = 3e-6 + (0 if out_type == torch.float32 else eps) + (0 if exact else eps)
                    if exact and dtype == "f32":
                        limit += 2e-5
                    if dtype == "bf16" and act == "f16":
                        limit += 2e-5  # small bf16 numbers below f16's normal range
                    what = f"linear {dtype} {act} rows {rows} [{outs}, {columns}] {out_type}"
                    error = rms(out.double(), ref)
                    report(what, error, limit)
                    if not untouched(whole, outs, pad):
                        failures.append(what + " wrote outside")
                        print("FAIL", failures[-1])
                    key = f"{dtype}/{act} {'few' if rows <= 32 else 'many'} {'f32' if out_type == torch.float32 else 'act'}"
                    worst[key] = max(worst.get(key, 0), error)
                    cases += 1
    print("linear:", cases, "cases; relative RMS error", {k: f"{v:.1e}" for k, v in worst.items()})


def check_embed():
    rng = np.random.default_rng(2)
    for dtype in ("bf16", "f16", "f32", "q8_0", "q4_0", "q4_1", "q4_g128", "q4_k", "q5_k", "q6_k"):
        columns = 65 if dtype in TYPES else 512 if BLOCK[dtype][0] > 32 else 160
        data, w = stored(dtype, 50, columns, rng)
        weight = packed(dtype, 50, columns, data)
        ids = torch.tensor([0, 49, 7, 7, -1, 50], dtype=torch.int32, device=dev)
        for act in ("bf16", "f16"):
            whole, out = guarded(6, columns, TYPES[act], 3)
            launch(f"embed_{dtype}_{act}", (6,), 128, 0, p(ids), p(weight), p(out), I64(out.stride(0)), I(50), I(columns), F(12.0))
            torch.cuda.synchronize()
            ref = 12.0 * torch.from_numpy(w).to(dev)[ids[:4].long()]
            report(f"embed {dtype} {act}", rms(out[:4].double(), ref), 2.0**-8 if act == "bf16" else 2.0**-11)
            if not (out[4:].isnan().all() and untouched(whole, columns, 3)):
                failures.append(f"embed {dtype} {act} guards")
                print("FAIL", failures[-1])


def aligned16(*ts):
    return int(all(t is None or (t.data_ptr() % 16 == 0 and t.stride(0) % 8 == 0) for t in ts))


def check_rms_norm():
    for act in ("bf16", "f16"):
        eps = 2.0**-8 if act == "bf16" else 2.0**-11
        for width, pad, block in ((4096, 0, 256), (64, 0, 32), (65, 0, 64), (8192, 8, 256), (20000, 0, 256), (100, 3, 128), (1, 0, 32)):
            for residual in (False, True):
                x = torch.randn(5, width + 2 * pad, device=dev).to(TYPES[act])[:, pad : pad + width]
                delta = torch.randn(5, width, device=dev).to(TYPES[act]) if residual else None
                w = torch.randn(width, device=dev)
                whole, out = guarded(5, width, TYPES[act], pad)
                sum_ref = x.double() + (0.25 * delta.double() if residual else 0)
                vectors = aligned16(x, delta, out) if width % 8 == 0 else 0
                launch(f"rms_norm_{act}", (5,), block, 0, p(x), I64(x.stride(0)), p(delta), I64(width), F(0.25), p(w), F(1e-5), p(out), I64(out.stride(0)), I(width), I(vectors))
                torch.cuda.synchronize()
                report(f"rms_norm {act} {width} x", rms(x.double(), sum_ref), eps)
                ref = x.double() / (x.double().square().mean(1, keepdim=True) + 1e-5).sqrt() * w.double()
                report(f"rms_norm {act} {width} {residual}", rms(out.double(), ref), eps)
                if not untouched(whole, width, pad):
                    failures.append(f"rms_norm {act} {width} wrote outside")


def check_rotate():
    for act in ("bf16", "f16"):
        eps = 2.0**-8 if act == "bf16" else 2.0**-11
        for heads, dim, rotary, pad in ((32, 128, 128, 0), (2, 96, 64, 1), (3, 7, 6, 0), (1, 256, 256, 0), (5, 80, 0, 0)):
            for normed in (False, True):
                rows, half = 6, rotary // 2
                x = torch.randn(rows, heads * dim + pad, device=dev).to(TYPES[act])[:, : heads * dim]
                before = x.double().view(rows, heads, dim) if pad == 0 else x.double().reshape(rows, heads, dim)
                pos = torch.tensor([0, 1, 77, 131071, 1048575, 16777215], dtype=torch.int32, device=dev)
                freq = (1.7 * 10000.0 ** (-torch.arange(max(half, 1), dtype=torch.float64) / max(half, 1))).float().to(dev)
                w = torch.randn(dim, device=dev) if normed else None
                per_block = 8
                launch(f"rotate_{act}", (rows, math.ceil(heads / per_block)), 256, 8 * half, p(x), I64(x.stride(0)), p(pos), p(freq), I(half), F(1.1), p(w), F(1e-6), I(heads), I(dim), I(per_block))
                torch.cuda.synchronize()
                v = before
                if normed:
                    v = v / (v.square().mean(2, keepdim=True) + 1e-6).sqrt() * w.double()
                angle = (pos.float()[:, None] * freq[None]).double()[:, None, :half]
                c, s = 1.1 * angle.cos(), 1.1 * angle.sin()
                ref = v.clone()
                ref[..., :half] = v[..., :half] * c - v[..., half : 2 * half] * s
                ref[..., half : 2 * half] = v[..., half : 2 * half] * c + v[..., :half] * s
                report(f"rotate {act} {heads}x{dim} rotary {rotary} norm {normed}", rms(x.double().reshape(rows, heads, dim), ref), eps)


def check_swiglu():
    for act in ("bf16", "f16"):
        for width, pad in ((12288, 0), (8, 8), (33, 1), (1, 0)):
            x = (4 * torch.randn(3, 2 * width + 2 * pad, device=dev)).to(TYPES[act])[:, pad : pad + 2 * width]
            whole, out = guarded(3, width, TYPES[act], pad)
            vectors = aligned16(x, out) if width % 8 == 0 else 0
            launch(f"swiglu_{act}", (3, math.ceil(width / 2048)), 256, 0, p(x), I64(x.stride(0)), p(out), I64(out.stride(0)), I(width), I(vectors))
            torch.cuda.synchronize()
            g, u = x.double()[:, :width], x.double()[:, width:]
            report(f"swiglu {act} {width}", rms(out.double(), g * g.sigmoid() * u), 2.0**-8 if act == "bf16" else 2.0**-11)
            if not untouched(whole, width, pad):
                failures.append(f"swiglu {act} {width} wrote outside")


def check_append():
    i32 = lambda x: torch.tensor(x, dtype=torch.int32, device=dev)
    for heads, dim, block, pad in ((2, 128, 64, 0), (3, 7, 16, 1), (1, 64, 64, 4)):
        seqs = [(0, 70), (130, 1), (63, 5)]
        starts = np.concatenate([[0], np.cumsum([q for _, q in seqs])]).tolist()
        rows, pages = starts[-1], 20
        table = torch.randperm(pages, generator=torch.Generator().manual_seed(3))[:15].view(3, 5).to(torch.int32).to(dev)
        k, v = (torch.randn(rows + 4, heads * dim + pad, device=dev).to(torch.bfloat16)[:, : heads * dim] for _ in range(2))
        K, V = (torch.full((pages, heads, block, dim), -5.0, dtype=torch.bfloat16, device=dev) for _ in range(2))
        ref_k, ref_v = K.clone(), V.clone()
        t = [i32(starts), i32([h for h, _ in seqs]), i32([h + q for h, q in seqs])]
        batch = Batch(p(t[0]), p(t[1]), p(t[2]), p(table), 3, 5)
        vectors = int(dim % 8 == 0 and k.stride(0) % 8 == 0)
        launch("append_kv", (rows + 4,), 128, 0, p(k), p(v), I64(k.stride(0)), I64(v.stride(0)), p(K), p(V), batch, I(heads), I(dim), I(block), I(vectors))
        torch.cuda.synchronize()
        for s, (history, q) in enumerate(seqs):
            for r in range(q):
                position = history + r
                if position // block >= 5:
                    continue
                page = int(table[s, position // block])
                ref_k[page, :, position % block] = k[starts[s] + r].view(heads, dim)
                ref_v[page, :, position % block] = v[starts[s] + r].view(heads, dim)
        if not (torch.equal(K, ref_k) and torch.equal(V, ref_v)):
            failures.append(f"append_kv {heads} {dim} {block}")
            print("FAIL", failures[-1])


def sample_reference(l, temperature, k, top_p, uniform):
    if np.isnan(l).any() or not np.isfinite(l).any():
        return -1
    best = l.max()
    if temperature == 0:
        return int(l.argmax())
    order = np.lexsort((np.arange(len(l)), -l))
    with np.errstate(invalid="ignore"):
        w = np.where(l == best, 1.0, np.exp((l - best) / temperature))[order]
    if k > 0:
        w = w[: int(k)]
    cum = np.cumsum(w)
    end = np.searchsorted(cum, top_p * cum[-1], "left")
    w = w[: min(end, len(w) - 1) + 1]
    cum = np.cumsum(w)
    return int(order[min(np.searchsorted(cum, uniform * cum[-1], "right"), len(w) - 1)])


def sample(spread, logits, settings, out):
    """`spread`: a cluster a row."""
    rows, vocabulary = logits.shape
    args = p(logits), I64(logits.stride(0)), p(settings), I64(4), p(out), I64(1), I(vocabulary)
    if spread:
        launch("sample_cluster", (16 * rows,), 1024, 68 * 1024 + 4096 * math.ceil(vocabulary / 16384), *args, cluster=16)
    else:
        launch("sample", (rows,), 1024, 68 * 1024, *args)


def check_sample():
    rng = np.random.default_rng(5)
    wrong = cases = 0
    for vocabulary in (1, 2, 17, 31, 513, 1000, 1025, 4097, 16384, 16385, 73448, 151936, 200000):
        rows = 24
        l = rng.standard_normal((rows, vocabulary + 3)).astype(np.float32) * rng.choice([0.01, 1, 4], (rows, 1))
        l = l.astype(np.float32)
        l[3] = np.round(l[3])  # many ties
        l[4] = 1.5
        l[5, ::2] = -np.inf
        l[6, vocabulary // 2] = np.inf
        l[7, vocabulary - 1] = np.nan
        l[8] = -np.inf
        l[10] = 1  # two neighbouring numbers, far more of each than a list holds
        l[10, ::7] = np.nextafter(np.float32(1), np.float32(2))
        l[11] = np.inf
        l[12, vocabulary // 3] = 60  # alone
        settings = np.stack([rng.choice([0, 0.3, 1, 2], rows), rng.choice([0, 1, 2, 40, 1000, 1e6], rows), rng.choice([0, 0.1, 0.9, 0.95, 1], rows), rng.uniform(0, 1, rows)], 1).astype(np.float32)
        settings[4] = (1, 0, 1, 0.7)
        settings[3] = (1, 100, 0.9, 0.7)
        settings[9, 3] = 0
        settings[10] = (1, 3000, 0.9, 0.99)
        settings[12] = (1, 0, 0.9, 0.5)
        L, S = torch.from_numpy(l).to(dev)[:, :vocabulary], torch.from_numpy(settings).to(dev)
        chosen = {}
        for spread in (False, True):
            out = torch.full((rows,), -9, dtype=torch.int32, device=dev)
            sample(spread, L, S, out)
            torch.cuda.synchronize()
            chosen[spread] = out.tolist()
            for r in range(rows):
                t, k, tp, u = (float(x) for x in settings[r])
                row = l[r, :vocabulary].astype(np.float64)
                cases += 1
                if int(out[r]) == sample_reference(row, t, k, tp, u):
                    continue
                # Rounding of f32 may move a boundary by 1e-6 of the mass.
                allowed = {sample_reference(row, t, k, a, b) for a in (tp, tp - 2e-6, tp + 2e-6) for b in (u, u - 2e-6, u + 2e-6)}
                if int(out[r]) not in allowed:
                    wrong += 1
                    print(f"FAIL sample spread {spread} vocabulary {vocabulary} row {r} settings {settings[r]}: {int(out[r])} not in {allowed}")
        if chosen[False] != chosen[True]:
            wrong += 1
            print(f"FAIL sample vocabulary {vocabulary}: a cluster chose {chosen[True]}, a block of threads {chosen[False]}")
    if wrong:
        failures.append("sample")
    print(f"sample: {cases} cases, {wrong} wrong")


def timed(run, repeats=20):
    """Median and range in us; `run(i)` may rotate over copies so that weights come from memory."""
    for i in range(3):
        run(i)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    inner = 5
    events[0].record()
    for i in range(repeats):
        for j in range(inner):
            run(i * inner + j)
        events[i + 1].record()
    torch.cuda.synchronize()
    times = [events[i].elapsed_time(events[i + 1]) * 1000 / inner for i in range(repeats)]
    return statistics.median(times), min(times), max(times)


def graphed(run, copies):
    """`run` for every copy in one graph, so that launches from Python do not count."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for i in range(copies):
            run(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(copies):
            run(i)
    m, low, high = timed(lambda i: graph.replay(), 15)
    return m / copies, low / copies, high / copies


def time_linear():
    rng = np.random.default_rng(7)
    for rows, columns, outs in ((4096, 4096, 4096), (512, 4096, 12288), (64, 4096, 4096), (32, 4096, 12288), (16, 4096, 12288), (8, 4096, 12288), (1, 4096, 12288), (1, 12288, 4096), (1, 4096, 512)):
        x = torch.randn(rows, columns, device=dev).bfloat16()
        flop = 2 * rows * columns * outs
        line = []
        ws = [torch.randn(outs, columns, device=dev).bfloat16() * 0.1 for _ in range(4)]
        out = torch.empty(rows, outs, dtype=torch.bfloat16, device=dev)
        ref = x.float() @ ws[0].float().T
        base = graphed(lambda i: torch.matmul(x, ws[i % 4].T, out=out), 4)
        line.append(("torch", base, outs * columns * 2))
        linear("bf16", "bf16", x, ws[0], outs, columns, None, out)
        torch.cuda.synchronize()
        report(f"timed linear bf16 {rows}", rms(out.float(), ref), 0.003)
        line.append(("bf16", graphed(lambda i: linear("bf16", "bf16", x, ws[i % 4], outs, columns, None, out), 4), outs * columns * 2))
        if rows > 64:
            line.append(("bf16 wide", graphed(lambda i: linear("bf16", "bf16", x, ws[i % 4], outs, columns, None, out, "wide"), 4), outs * columns * 2))
        del ws
        for dtype in ("q8_0", "q4_0", "q4_k", "q6_k", "f32"):
            if dtype == "f32":
                copies = [torch.randn(outs, columns, device=dev) * 0.1 for _ in range(2)]
            else:
                size = weight_bytes(dtype, outs, columns)
                copies = [torch.randint(0, 60, (size,), dtype=torch.uint8, device=dev) for _ in range(8)]
            n = len(copies)
            size = copies[0].numel() * copies[0].element_size()
            line.append((dtype, graphed(lambda i: linear(dtype, "bf16", x, copies[i % n], outs, columns, None, out), n), size))
            if rows > 64:
                plain = torch.empty(outs, columns, device=dev, dtype=torch.bfloat16)
                line.append((dtype + " convert", graphed(lambda i: launch(f"embed_{dtype}_bf16", (outs,), 128, 0, P(0), p(copies[i % n]), p(plain), I64(columns), I(outs), I(columns), F(1)), n), size))
            del copies
        print(f"linear {rows} x {columns} x {outs}:")
        for name, (m, low, high), size in line:
            print(f"    {name:10s} {m:9.2f} us ({low:.2f} to {high:.2f})  {flop / m / 1e6:7.1f} TFLOP/s  {size / m / 1e6:6.2f} TB/s of weights  {base[0] / m:.2f}x torch", flush=True)


def time_rest():
    act = "bf16"
    for rows in (1, 4096):
        x, delta, out = (torch.randn(rows, 4096, device=dev).bfloat16() for _ in range(3))
        w = torch.randn(4096, device=dev)
        r = graphed(lambda i: launch("rms_norm_bf16", (rows,), 256, 0, p(x), I64(4096), p(delta), I64(4096), F(0.0), p(w), F(1e-5), p(out), I64(4096), I(4096), I(1)), 8)
        pos = torch.arange(rows, dtype=torch.int32, device=dev) + 100000
        freq = torch.rand(64, device=dev)
        per = 32 if rows > 264 else 4
        q = graphed(lambda i: launch("rotate_bf16", (rows, 32 // per), 256 if rows > 264 else 128, 512, p(x), I64(4096), p(pos), p(freq), I(64), F(1.0), P(0), F(0), I(32), I(128), I(per)), 8)
        gu, so = torch.randn(rows, 24576, device=dev).bfloat16(), torch.empty(rows, 12288, device=dev, dtype=torch.bfloat16)
        s = graphed(lambda i: launch("swiglu_bf16", (rows, 6), 256, 0, p(gu), I64(24576), p(so), I64(12288), I(12288), I(1)), 8)
        print(f"rows {rows}: rms_norm+residual {r[0]:.2f} us, rotate 32x128 {q[0]:.2f} us, swiglu 12288 {s[0]:.2f} us")
    time_sample()


def time_sample():
    for v, rows in ((4096, 1), (16384, 1), (73448, 1), (200000, 1), (200000, 8), (200000, 24), (200000, 64)):
        varied, flat = torch.randn(rows, v, device=dev) * 3, torch.ones(rows, v, device=dev)
        out = torch.zeros(rows, dtype=torch.int32, device=dev)
        for what, logits, setting in (
            ("greedy", varied, (0, 0, 1, 0.5)),
            ("top-p 0.9", varied, (0.8, 0, 0.9, 0.5)),
            ("top-k 40, top-p 0.9", varied, (0.8, 40, 0.9, 0.5)),
            ("top-p 0.9, equal logits", flat, (0.8, 0, 0.9, 0.5)),
        ):
            settings = torch.tensor([setting] * rows, dtype=torch.float32, device=dev)
            one, cluster = (graphed(lambda i: sample(spread, logits, settings, out), 4)[0] for spread in (False, True))
            print(f"sample {rows} x {v} {what}: {cluster:.1f} us in clusters, {one:.1f} us in single blocks", flush=True)


if __name__ == "__main__":
    if "check" in sys.argv:
        for check in (check_embed, check_rms_norm, check_rotate, check_swiglu, check_append, check_linear, check_sample):
            try:
                check()
                torch.cuda.synchronize()
                print("done", check.__name__, flush=True)
            except Exception as error:
                failures.append(check.__name__)
                print("FAIL", check.__name__, type(error).__name__, error, flush=True)
        print("failures:", len(failures), failures[:20])
    if "time" in sys.argv:
        time_linear()
        time_rest()
    if "sample" in sys.argv:
        check_sample()
        time_sample()
