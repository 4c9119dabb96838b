"""Checks every kernel against float64 on sampled rows, then times it beside torch SDPA (cuDNN) in the same process.

    python3 lab.py check            # correctness on small and odd shapes
    python3 lab.py time [lengths]   # checks sampled rows of each timed output first
"""
import ctypes, json, math, os, statistics, sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

HERE = os.path.dirname(os.path.abspath(__file__))
lib = ctypes.CDLL(os.environ.get("LAB", os.path.join(HERE, "liblab.so")))
dev = torch.device("cuda")
P, I, FL = ctypes.c_void_p, ctypes.c_int, ctypes.c_float


class Problem(ctypes.Structure):
    _fields_ = [(n, P) for n in "query_starts query_positions kv_lengths page_table".split()]
    _fields_ += [(n, I) for n in "sequences max_pages rows max_query max_kv pages heads kv_heads dim half".split()]
    _fields_ += [("scale", FL)]
    _fields_ += [(n, P) for n in "q keys values fine coarse linear_fine linear_coarse".split()]
    _fields_ += [(n, I) for n in "cells coarse_rows exact init local budget row_chunk max_blocks capacity".split()]
    _fields_ += [(n, P) for n in "scores firsts indices pooled".split()]
    _fields_ += [("pooled_blocks", I), ("lists", P), ("counts", P), ("list_length", I), ("tile_rows", I), ("out", P)]
    _fields_ += [(n, P) for n in "lse_parts attend_weights decode_scores arrived attend_parts".split()]
    _fields_ += [(n, I) for n in "lse_splits score_splits attend_splits overlap".split()]
    _fields_ += [("head_scores", P), ("stream", P)]


# ---- inputs: the seeded generator of structured cases, on the device -------------------------------------------------
M = 0xFFFFFFFF


def mix(x):
    x = x & M
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & M
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & M
    return x ^ (x >> 16)


def base(seed, salt):
    return int(mix(torch.tensor((seed * 1000003 + salt) & M, dtype=torch.int64)).item())


def stream(b, i):
    return mix(i + b)


def ar(n):
    return torch.arange(n, device=dev, dtype=torch.int64)


def structured(seed, n, nq, h, hk, d):
    """q [nq, h, d], k, v [n, hk, d] in bf16 (exact)."""
    T, w, g = 24, hk * d, h // hk
    ck = (stream(base(seed, 10), ar(T * w)) % 129 - 64).view(T, w)
    cv = (stream(base(seed, 12), ar(T * w)) % 129 - 64).view(T, w)
    topic = lambda salt, seg: stream(base(seed, salt), ar(n) // seg) % T
    kt, qt, ot = topic(11, 48), topic(13, 16), topic(14, 16)
    noise = lambda salt, i: stream(base(seed, salt), i) % 127 - 63
    k = torch.empty(n, w, device=dev, dtype=torch.bfloat16)
    v = torch.empty_like(k)
    q = torch.empty(nq, h, d, device=dev, dtype=torch.bfloat16)
    for a in range(0, n, 8192):
        j = ar(min(8192, n - a)) + a
        i = j[:, None] * w + ar(w)[None]
        k[j] = ((noise(1, i) + ck[kt[j]]) / 64).to(torch.bfloat16)
        v[j] = ((noise(2, i) + cv[kt[j]]) / 64).to(torch.bfloat16)
    heads = ar(h)
    for a in range(0, nq, 4096):
        r = ar(min(4096, nq - a)) + a
        j = r + n - nq
        t = torch.where((heads % 2)[None] == 1, ot[j][:, None], qt[j][:, None])
        cent = ck.view(T, hk, d)[t, (heads // g)[None].expand_as(t)]
        i = (j[:, None] * h + heads[None])[:, :, None] * d + ar(d)
        q[r] = ((noise(3, i) + cent) / 64).to(torch.bfloat16)
    return q, k.view(n, hk, d), v.view(n, hk, d)


def uniform(seed, n, nq, h, hk, d):
    gen = torch.Generator(device=dev).manual_seed(seed)
    r = lambda *s: (torch.rand(*s, device=dev, generator=gen) * 4 - 2).to(torch.bfloat16)
    return r(nq, h, d), r(n, hk, d), r(n, hk, d)


# ---- a batch in the paged layout -------------------------------------------------------------------------------------
class Case:
    def __init__(self, sequences, make=structured, seed=1, h=32, hk=2, d=128, init=1, local=32, topk=64, exact=0,
                 pooled=True, row_chunk=None, spare_pages=3, dtype=torch.bfloat16, unfused=False):
        """sequences: list of (history, queries). unfused: with room for the scores of single heads, 2 GiB at most."""
        self.seqs, self.h, self.hk, self.d = sequences, h, hk, d
        kv = [a + b for a, b in sequences]
        self.kv, self.rows = kv, sum(b for _, b in sequences)
        maxkv, maxq = max(kv), max(b for _, b in sequences)
        pages_each = [math.ceil(n / 64) for n in kv]
        max_pages, pages = max(pages_each) + 1, sum(pages_each) + spare_pages
        perm = torch.randperm(pages, generator=torch.Generator().manual_seed(seed)).to(torch.int32)
        table = torch.full((len(kv), max_pages), -1, dtype=torch.int32)
        used = 0
        K = torch.zeros(pages, hk, 64, d, device=dev, dtype=dtype)
        V = torch.zeros_like(K)
        qs = []
        self.k, self.v = [], []
        for s, (history, queries) in enumerate(sequences):
            table[s, : pages_each[s]] = perm[used : used + pages_each[s]]
            used += pages_each[s]
            q, k, v = (x.to(dtype) for x in make(seed + s, kv[s], queries, h, hk, d))
            qs.append(q)
            self.k.append(k)
            self.v.append(v)
            idx = table[s, : pages_each[s]].long().to(dev)
            for src, dst in ((k, K), (v, V)):
                padded = torch.zeros(pages_each[s] * 64, hk, d, device=dev, dtype=dtype)
                padded[: kv[s]] = src
                dst[idx] = padded.view(-1, 64, hk, d).transpose(1, 2)
        self.K, self.V, self.q = K, V, torch.cat(qs).contiguous()
        self.table = table.to(dev)
        i32 = lambda x: torch.tensor(x, dtype=torch.int32, device=dev)
        starts = [0]
        for _, b in sequences:
            starts.append(starts[-1] + b)
        self.starts = starts
        self.t = dict(qs=i32(starts), qp=i32([a for a, _ in sequences]), kl=i32(kv))
        blocks = math.ceil(maxkv / 64)
        self.blocks, self.budget, self.init, self.local = blocks, topk + local, init, local
        chunk = min(row_chunk or 32768, self.rows)
        cells = (maxkv // 16 + 127) // 128 * 128 + 128
        if unfused:
            tile = 256 // (h // hk)
            chunk = min(chunk, max(1, 2**31 // (4 * h * tile * cells)) * tile)
        crow = (maxkv // 64 + 127) // 128 * 128 + 128
        max_blocks = (blocks + 31) // 32 * 32 + 32
        nan = lambda *s: torch.full(s, float("nan"), device=dev, dtype=dtype)
        f32 = lambda *s: torch.full(s, float("nan"), device=dev, dtype=torch.float32)
        n32 = lambda *s: torch.full(s, -7, device=dev, dtype=torch.int32)
        self.fine, self.coarse = nan(pages, hk, 4, d), nan(pages, hk, 1, d)
        self.lf, self.lc = nan(len(kv) * hk * cells, d), nan(len(kv) * hk * crow, d)
        self.scores, self.firsts = f32(hk, chunk, max_blocks), f32(hk, chunk, max_blocks // 4)
        self.indices = n32(hk, self.rows, self.budget)
        self.pooled = f32(hk, self.rows, blocks) if pooled else None
        self.tile = 128 // (h // hk)
        tiles = math.ceil(maxq / max(1, self.tile))
        self.list_length = max(1, min(blocks, self.tile * self.budget))
        self.lists = n32(hk * len(kv) * tiles, self.list_length)
        self.counts = n32(hk, len(kv), tiles, 4)
        self.out = nan(self.rows, h, d)
        p = lambda t: None if t is None else t.data_ptr()
        self.p = Problem(
            p(self.t["qs"]), p(self.t["qp"]), p(self.t["kl"]), p(self.table), len(kv), max_pages, self.rows, maxq, maxkv, pages,
            h, hk, d, int(dtype == torch.float16), 1 / math.sqrt(d), p(self.q), p(K), p(V), p(self.fine), p(self.coarse), p(self.lf), p(self.lc), cells,
            crow, exact, init, local, self.budget, chunk, max_blocks, self.rows, p(self.scores), p(self.firsts), p(self.indices),
            p(self.pooled), blocks, p(self.lists), p(self.counts), self.list_length, self.tile, p(self.out), None, None, None, None, None, 0, 0, 0, 0, None)
        self.head_scores = f32(h // hk, hk, chunk, cells) if unfused else None
        self.p.head_scores = p(self.head_scores)
        self.exact = exact
        if self.rows <= 32:
            self.splits(attend=48)

    def splits(self, lse=None, score=None, attend=None, overlap=1):
        """How decoding is spread: blocks of threads per (row, kv head)."""
        each = max(1, 132 * 3 // (self.hk * self.rows))
        n = max(self.kv)
        lse = lse or max(1, min(each, math.ceil(n / (16 if self.exact else 64) / 64)))
        score = score or max(1, min(132 * 2 // (self.hk * self.rows), math.ceil(n / 16 / 64)))
        z = lambda *s: torch.zeros(s, device=dev, dtype=torch.int32)
        f = lambda *s: torch.full(s, float("nan"), device=dev, dtype=torch.float32)
        r = self.rows * self.hk
        self.parts = [f(r, lse, 16, 2), f(r, attend, 16, 2), z(r, self.p.max_blocks), z(r), f(r, attend, 16, self.d)]
        (self.p.lse_parts, self.p.attend_weights, self.p.decode_scores, self.p.arrived, self.p.attend_parts) = (
            t.data_ptr() for t in self.parts)
        self.p.lse_splits, self.p.score_splits, self.p.attend_splits, self.p.overlap = lse, score, attend, overlap

    def call(self, name, *args):
        f = getattr(lib, "lab_" + name)
        self.p.stream = torch.cuda.current_stream().cuda_stream
        if f(ctypes.byref(self.p), *args):
            raise RuntimeError(name + " failed to launch")

    def paged(self, t, s):  # compressed keys of sequence s by cell: [cells, hk, d]
        n = math.ceil(self.kv[s] / 64)
        return t[self.table[s, :n].long()].transpose(1, 2).reshape(-1, self.hk, self.d)


# ---- float64 reference -----------------------------------------------------------------------------------------------
def ref_compress(case, s):
    k, n = case.k[s].double(), case.kv[s]
    w = lambda size, stride: k.unfold(0, size, stride).mean(-1) if n >= size else k[:0]
    return w(32, 16), w(128, 64)


def ref_scores(case, s, row):
    """Pooled scores [hk, blocks of the batch] of one row from the kernel's own compressed keys."""
    pos = case.seqs[s][0] + row - case.starts[s]
    fine, coarse = case.paged(case.fine, s).double(), case.paged(case.coarse, s).double()
    c1, c2, g = (pos + 1) // 16, (pos + 1) // 64, case.h // case.hk
    total = case.kv[s] // 16
    out = torch.full((case.hk, case.blocks), float("-inf"), device=dev, dtype=torch.float64)
    for a in range(case.hk):
        q = case.q[row, a * g : (a + 1) * g].double() / math.sqrt(case.d)
        cell = torch.zeros(case.blocks * 4 + 8, device=dev, dtype=torch.float64)
        norm = fine[1:c1, a] if case.exact else coarse[1:c2, a]
        if c1 > 1 and len(norm):
            z = torch.logsumexp(q @ norm.T, -1)
            cell[1:c1] = torch.exp(q @ fine[1:c1, a].T - z[:, None]).sum(0)
        win = cell.unfold(0, 5, 4)[: case.blocks].amax(-1)
        has = (ar(case.blocks) * 4).clamp(min=1) < total
        out[a] = torch.where(has, win, out[a])
    return out


def ref_select(case, pooled, pos):
    """Exact selection from given pooled scores (one row, one head)."""
    qb = pos // 64
    b = ar(case.blocks)
    forced = (b < case.init) | ((b <= qb) & (qb <= b + case.local))
    ranked = pooled.masked_fill(forced, float("inf")).masked_fill(b > qb, float("-inf"))
    order = torch.sort(ranked, descending=True, stable=True).indices[: case.budget]
    take = torch.zeros_like(forced)
    take[order] = True
    return torch.nonzero(take & (b <= qb))[:, 0].to(torch.int32)


def ref_attend(case, s, row, a, blocks):
    pos, g = case.seqs[s][0] + row - case.starts[s], case.h // case.hk
    tok = torch.arange(pos + 1, device=dev) if blocks is None else (blocks.long()[:, None] * 64 + ar(64)).flatten()
    tok = tok[tok <= pos]
    q = case.q[row, a * g : (a + 1) * g].double() / math.sqrt(case.d)
    w = torch.softmax(q @ case.k[s][tok, a].double().T, -1)
    return w @ case.v[s][tok, a].double()


def rel(x, ref):
    return float((x.double() - ref).norm() / ref.norm().clamp(min=1e-30))


def sample_rows(case, count=20, seed=3):
    rows = []
    gen = torch.Generator().manual_seed(seed)
    for s, (history, queries) in enumerate(case.seqs):
        want = {0, 7, 8, 15, 16, 30, 31, 32, 63, 64, 126, 127, 128, 191, queries - 1, queries - 2}
        want |= set(torch.randint(0, queries, (count,), generator=gen).tolist())
        rows += [(s, case.starts[s] + r) for r in sorted(want) if 0 <= r < queries]
    return rows


def select_unfused(case):
    """Selects without head-group fusion; what differs from the fused result, which sums in the same order."""
    case.call("select", 7)
    fused = [None if t is None else t.clone() for t in (case.indices, case.pooled)]
    for t in (case.scores, case.firsts, case.pooled):
        if t is not None: t.fill_(float("nan"))
    case.indices.fill_(-7)
    case.call("select", 13)
    torch.cuda.synchronize()
    pairs = zip(("indices", "scores"), fused, (case.indices, case.pooled))
    return [f"unfused {what} differ" for what, a, b in pairs if a is not None and not torch.equal(a, b)]


def check(case, name, parts="compress select blocks dense", count=20):
    worst = {}
    bad = []
    note = lambda k, v: worst.__setitem__(k, max(worst.get(k, 0), v if v == v else float("inf")))
    if any(a for a, _ in case.seqs):  # the history's windows first, as an earlier chunk would have written them
        starts = torch.tensor([0] + [a for a, _ in case.seqs], device=dev).cumsum(0).to(torch.int32)
        old, queries = (case.p.query_starts, case.p.query_positions), case.p.max_query
        zeros = torch.zeros_like(case.t["qp"])
        case.p.query_starts, case.p.query_positions, case.p.max_query = starts.data_ptr(), zeros.data_ptr(), max(a for a, _ in case.seqs)
        case.call("compress")
        torch.cuda.synchronize()
        (case.p.query_starts, case.p.query_positions), case.p.max_query = old, queries
    case.call("compress")
    torch.cuda.synchronize()
    for s in range(len(case.seqs)):
        r1, r2 = ref_compress(case, s)
        if len(r1): note("fine", rel(case.paged(case.fine, s)[1 : len(r1) + 1], r1))
        if len(r2): note("coarse", rel(case.paged(case.coarse, s)[1 : len(r2) + 1], r2))
    rows = sample_rows(case, count)
    if "select" in parts:
        if "general" in parts: case.call("select_general")
        elif "decode" in parts: case.call("decode_select", 3)
        elif "unfused" in parts: bad += select_unfused(case)
        else: case.call("select", 7)
        torch.cuda.synchronize()
        for s, row in rows:
            pos = case.seqs[s][0] + row - case.starts[s]
            if case.pooled is not None:
                ref = ref_scores(case, s, row)
            for a in range(case.hk):
                got = case.indices[a, row]
                mine = got[got >= 0]
                if case.pooled is not None:
                    p = case.pooled[a, row].double()
                    inf = torch.isinf(ref[a])
                    if not torch.equal(inf, torch.isinf(p)): bad.append(f"inf scores s{s} row {row} head {a}")
                    if (~inf).any(): note("scores", float(((p - ref[a])[~inf].abs() / (ref[a][~inf].abs() + 1e-6)).max()))
                    want = ref_select(case, p, pos)
                else:
                    want = ref_select(case, ref_scores(case, s, row)[a], pos)
                    if len(want) == len(mine): note("other picks", float((~torch.isin(want, mine)).sum()))
                    else: bad.append(f"count s{s} row {row} head {a}: {len(mine)} for {len(want)}")
                    continue
                if not torch.equal(want, mine):
                    bad.append(f"selection s{s} row {row} head {a}: {len(mine)} for {len(want)}, "
                               f"{int((~torch.isin(want, mine)).sum()) if len(mine) else '?'} missing")
                if not bool((got[len(mine):] == -1).all()): bad.append(f"padding s{s} row {row}")
    for part, op in (("blocks", "attend_blocks"), ("dense", "attend_dense")):
        if part not in parts: continue
        case.out.fill_(float("nan"))
        if "general" in parts:
            case.call("attend_general", int(part == "blocks"))
        elif "decode" in parts:
            case.call("decode_attend", int(part == "blocks"), 4 if part == "blocks" and "cluster" in parts else 3)
        else:
            if part == "blocks": case.call("union")
            case.call(op)
        torch.cuda.synchronize()
        if bool(torch.isnan(case.out).any()): bad.append(f"{op}: {int(torch.isnan(case.out).any(-1).any(-1).sum())} rows with NaN")
        g = case.h // case.hk
        for s, row in rows:
            for a in range(case.hk):
                idx = case.indices[a, row]
                ref = ref_attend(case, s, row, a, idx[idx >= 0] if part == "blocks" else None)
                note(op, rel(case.out[row, a * g : (a + 1) * g], ref))
    limits = dict(fine=4e-3, coarse=4e-3, scores=2e-3, attend_blocks=6e-3, attend_dense=6e-3)
    for k, v in worst.items():
        if not v <= limits.get(k, 1e9): bad.append(f"{k} error {v:.2e}")
    print(("ok  " if not bad else "BAD ") + name, {k: f"{v:.1e}" for k, v in worst.items()}, *bad[:6], flush=True)
    return not bad


def graph(f, calls=20):
    """Microseconds per call inside a replayed graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        f()
    torch.cuda.synchronize()
    g = torch.cuda.CUDAGraph()
    with torch.cuda.graph(g):
        for _ in range(calls): f()
    t = clock(g.replay, 15, 3)
    return tuple(1000 * x / calls for x in t)


def time_decode(lengths=(32768, 131072, 524288)):
    for n in lengths:
        case = Case([(n - 1, 1)], pooled=False, make=uniform)
        check(case, f"decode {n}", parts="decode cluster select blocks dense", count=2)
        q = case.q.transpose(0, 1)[None]
        k, v = (x.transpose(0, 1)[None] for x in (case.k[0], case.v[0]))
        if n <= 131072:
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                t = graph(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True))
            print(f"decode cudnn dense {n}: {t[0]:.1f} us", flush=True)
        for overlap in (0, 1):
            case.splits(attend=48, overlap=overlap)
            parts = [("lse", lambda: case.call("decode_select", 1)), ("score", lambda: case.call("decode_select", 2)),
                     ("select", lambda: case.call("decode_select", 3)),
                     ("attend", lambda: case.call("decode_attend", 1, 1)), ("combine", lambda: case.call("decode_attend", 1, 2)),
                     ("cluster attend", lambda: case.call("decode_attend", 1, 4)),
                     ("both", lambda: (case.call("decode_select", 3), case.call("decode_attend", 1, 3))),
                     ("with cluster", lambda: (case.call("decode_select", 3), case.call("decode_attend", 1, 4)))]
            line = []
            for what, f in parts:
                t = graph(f)
                line.append(f"{what} {t[0]:.1f}")
                RESULTS.append(dict(what=f"decode {what}", length=n, median_us=t[0], least=t[1], most=t[2], attend_splits=48, overlap=overlap))
            print(f"decode {n} splits {case.p.lse_splits} {case.p.score_splits} 48 overlap {overlap}, us:", *line, f"[{t[1]:.1f} {t[2]:.1f}]", flush=True)
        case.splits(attend=198)
        t = graph(lambda: case.call("decode_attend", 0, 3))
        print(f"decode dense {n}: {t[0]:.1f} us", flush=True)
        RESULTS.append(dict(what="decode dense", length=n, median_us=t[0]))
        del case
        torch.cuda.empty_cache()


# ---- timing ----------------------------------------------------------------------------------------------------------
def clock(f, repeat=10, warm=2):
    for _ in range(warm): f()
    times = []
    for _ in range(repeat):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record(); f(); b.record()
        torch.cuda.synchronize()
        times.append(a.elapsed_time(b))
    return statistics.median(times), min(times), max(times)


RESULTS = []


def report(what, length, t, tflop=None):
    line = f"{what:34s} {length:7d} {t[0]:9.3f} ms  [{t[1]:.3f} {t[2]:.3f}]" + (f"  {tflop / t[0] * 1e3:6.0f} TFLOP/s" if tflop else "")
    print(line, flush=True)
    RESULTS.append(dict(what=what, length=length, median=t[0], least=t[1], most=t[2], tflops=tflop and tflop / t[0] * 1e3))


def time_length(n, kinds=("structured", "uniform"), cudnn=True):
    for kind in kinds:
        case = Case([(0, n)], make=structured if kind == "structured" else uniform, pooled=False)
        check(case, f"{kind} {n}", count=4)
        dense = 4 * n * (n + 1) / 2 * 32 * 128 / 1e12
        reps = 5 if n > 70000 else 10
        if kind == "structured":
            if cudnn:
                q = case.q.transpose(0, 1)[None]
                k, v = (x.transpose(0, 1)[None].repeat_interleave(16, 1) for x in (case.k[0], case.v[0]))
                with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                    report("cudnn dense", n, clock(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), reps, 1), dense)
                del q, k, v
            report("attend dense", n, clock(lambda: case.call("attend_dense"), reps, 1), dense)
            report("compress", n, clock(lambda: case.call("compress")))
            report("gather", n, clock(lambda: case.call("select", 1)))
        report(f"{kind} score", n, clock(lambda: case.call("select", 3), reps))
        if case.p.row_chunk >= n:
            report(f"{kind} top", n, clock(lambda: case.call("select", 4), reps))
        report(f"{kind} select", n, clock(lambda: case.call("select", 7), reps))
        report(f"{kind} union", n, clock(lambda: case.call("union"), reps))
        vis = torch.minimum((ar(n) // 64 + 1), torch.tensor(case.budget, device=dev)).double().sum().item()
        work = 4 * vis * 64 * 32 * 128 / 1e12
        report(f"{kind} attend blocks", n, clock(lambda: case.call("attend_blocks"), reps), work)
        sizes = {}
        for tile in (4, 8, 16):
            lists = torch.empty(case.hk * math.ceil(n / tile), min(case.blocks, tile * case.budget), device=dev, dtype=torch.int32)
            counts = torch.empty(case.hk * math.ceil(n / tile), 4, device=dev, dtype=torch.int32)
            old = (case.p.lists, case.p.counts, case.p.list_length, case.p.tile_rows)
            case.p.lists, case.p.counts, case.p.list_length, case.p.tile_rows = lists.data_ptr(), counts.data_ptr(), lists.shape[1], tile
            case.call("union")
            torch.cuda.synchronize()
            sizes[tile] = round(float(counts[:, 0].double().mean()), 1)
            case.p.lists, case.p.counts, case.p.list_length, case.p.tile_rows = old
        print(f"{kind} {n}: mean union of 4, 8, 16 tokens", sizes, "mean visible", round(vis / n, 1), flush=True)
        RESULTS.append(dict(what=f"{kind} union sizes", length=n, sizes=sizes))
        del case
        torch.cuda.empty_cache()


def check_all():
    ok = True
    small = dict(local=2, topk=4)
    for seqs in ([(0, 1)], [(0, 130)], [(0, 777)], [(0, 1024)], [(0, 1025)], [(100, 300)], [(1000, 37), (0, 500), (63, 65)]):
        ok &= check(Case(seqs, **small), f"small {seqs}", count=12)
    ok &= check(Case([(5, 900)], exact=1, **small), "exact lse", count=12)
    ok &= check(Case([(5, 900)], make=uniform, row_chunk=256, **small), "uniform, chunks", count=12)
    unfused = dict(parts="compress select unfused", count=12)
    for seqs in ([(0, 130)], [(0, 777)], [(0, 1025)], [(1000, 37), (0, 500), (63, 65)]):
        ok &= check(Case(seqs, unfused=True, **small), f"unfused {seqs}", **unfused)
        ok &= check(Case(seqs, unfused=True, pooled=False, **small), f"unfused, no pooled {seqs}", **unfused)
    ok &= check(Case([(5, 900)], exact=1, unfused=True, **small), "unfused, exact lse", **unfused)
    ok &= check(Case([(5, 900), (200, 300)], make=uniform, row_chunk=256, unfused=True, **small), "unfused, chunks", **unfused)
    ok &= check(Case([(0, 9000)], unfused=True, pooled=False), "unfused 9000", **unfused)
    ok &= check(Case([(0, 9000)], make=uniform), "9000 uniform", count=12)
    ok &= check(Case([(0, 9000)], pooled=False), "9000 no pooled", count=12)
    ok &= check(Case([(30000, 200), (8000, 100)]), "history", count=12)
    if "quick" not in sys.argv:
        for dtype in (torch.bfloat16, torch.float16):
            for h, hk, d in ((32, 2, 128), (16, 2, 128), (32, 2, 64), (16, 2, 64), (8, 1, 64)):
                shape = dict(h=h, hk=hk, d=d, dtype=dtype, **small)
                name = f"{dtype} heads {h}/{hk} dim {d}"
                ok &= check(Case([(3, 701)], **shape), name, count=6)
                ok &= check(Case([(3, 701)], unfused=True, **shape), name + " unfused", parts="compress select unfused", count=6)
                ok &= check(Case([(1500, 3), (77, 1)], **shape), name + " decode", parts="decode cluster select blocks dense", count=2)
        for h, hk, d in ((6, 2, 96), (5, 5, 40), (24, 1, 256), (32, 2, 128), (4, 1, 64)):
            shape = dict(h=h, hk=hk, d=d, **small)
            ok &= check(Case([(3, 401), (600, 40)], **shape), f"general heads {h}/{hk} dim {d}", parts="general select blocks dense", count=4)
        ok &= check(Case([(0, 600)], h=6, hk=2, d=96, exact=1, dtype=torch.float16, **small), "general exact f16",
                    parts="general select blocks dense", count=4)
    decode = dict(parts="decode select blocks dense", count=4)
    for seqs in ([(0, 1)], [(129, 1)], [(776, 3)], [(1023, 1), (500, 1), (64, 1), (2000, 1)], [(1500, 16)]):
        ok &= check(Case(seqs, **small), f"decode small {seqs}", **decode)
    for seqs in ([(0, 1)], [(776, 3)], [(1023, 1), (500, 1), (64, 1), (2000, 1)]):
        ok &= check(Case(seqs, **small), f"decode cluster {seqs}", parts="decode cluster select blocks", count=4)
    ok &= check(Case([(900, 3)], exact=1, **small), "decode cluster exact", parts="decode cluster select blocks", count=4)
    ok &= check(Case([(40000, 2)], make=uniform), "decode cluster 40000", parts="decode cluster select blocks", count=4)
    ok &= check(Case([(40000, 2)], make=uniform, topk=400), "decode cluster 40000, 400 blocks", parts="decode cluster select blocks", count=4)
    ok &= check(Case([(40000, 2)], pooled=False), "decode cluster 40000 structured", parts="decode cluster select blocks", count=4)
    ok &= check(Case([(900, 5)], exact=1, **small), "decode exact", **decode)
    ok &= check(Case([(40000, 2)], make=uniform), "decode 40000", **decode)
    ok &= check(Case([(40000, 2)], pooled=False), "decode 40000 structured", **decode)
    print("CHECKS", "PASSED" if ok else "FAILED", flush=True)
    return ok


if __name__ == "__main__":
    torch.manual_seed(0)
    if sys.argv[1] == "check":
        sys.exit(0 if check_all() else 1)
    print(torch.cuda.get_device_name(), torch.__version__, torch.backends.cudnn.version(), flush=True)
    if sys.argv[1] == "decode":
        time_decode()
    elif sys.argv[1] == "only":  # only OP LENGTH KIND: one kernel, for comparing builds
        n = int(sys.argv[3])
        case = Case([(0, n)], make=structured if sys.argv[4] == "structured" else uniform, pooled=False)
        check(case, f"{sys.argv[4]} {n}", count=4)
        f = dict(score=lambda: case.call("select", 3), select=lambda: case.call("select", 7), top=lambda: case.call("select", 4),
                 blocks=lambda: case.call("attend_blocks"), dense=lambda: case.call("attend_dense"))
        for op in sys.argv[2].split(","):
            if op == "sweep":  # how decoding is spread
                continue
            report(f"{os.path.basename(os.environ.get('LAB', 'liblab.so'))} {sys.argv[4]} {op}", n, clock(f[op], 7))
    else:
        for n in map(int, sys.argv[2:] or ["8192", "32768", "131072"]):
            time_length(n, cudnn=not os.environ.get("NO_CUDNN"))
    if os.environ.get("OUT"):
        json.dump(RESULTS, open(os.path.join(os.environ["OUT"], "results.json"), "w"), indent=1)
