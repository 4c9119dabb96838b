"""The figures of the record, from one run beside torch: `python3 record.py FILE`. Outputs are checked on sampled rows before
they are timed; every figure is the median of several runs with the least and the most.
"""
import json, sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
import lab
import linear_hopper

LENGTHS = (16384, 20480, 24576, 32768, 65536, 131072)
figures, bad = [], []


def note(what, length, t, unit="ms", **more):
    figures.append(dict(what=what, length=length, unit=unit, median=round(t[0], 4), least=round(t[1], 4), most=round(t[2], 4), **more))
    print(f"{what:44s} {length:7d} {t[0]:9.3f} {unit} [{t[1]:.3f} {t[2]:.3f}]", more or "", flush=True)
    return t[0]


def checked(case, name, parts="compress select blocks dense"):
    if not lab.check(case, name, parts=parts, count=3): bad.append(name)
    return case


def cudnn(case):
    q = case.q.transpose(0, 1)[None]
    k, v = (x.transpose(0, 1)[None].repeat_interleave(16, 1) for x in (case.k[0], case.v[0]))
    def run():
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return run


def unions(case, tile):
    """Mean blocks that the selections of `tile` neighbouring tokens have together."""
    n = case.rows // tile * tile
    chosen = torch.zeros(case.hk, n // tile, case.blocks + 1, dtype=torch.bool, device=lab.dev)
    lists = case.indices[:, :n].reshape(case.hk, n // tile, -1).long()
    chosen.scatter_(2, torch.where(lists < 0, case.blocks, lists), True)
    return round(float(chosen[:, :, :-1].sum(-1).double().mean()), 1)


def prefill(n):
    got = {}
    for kind in ("structured", "uniform"):
        case = checked(lab.Case([(0, n)], make=getattr(lab, kind), pooled=False, row_chunk=n), f"{kind} {n}")
        runs = 7 if n > 70000 else 15
        if kind == "structured":
            got["cudnn"] = note("cuDNN dense", n, lab.clock(cudnn(case), runs))
            got["dense"] = note("attend dense", n, lab.clock(lambda: case.call("attend_dense"), runs))
            got["compress"] = note("compress", n, lab.clock(lambda: case.call("compress"), runs))
        got[kind, "top"] = note(f"{kind}: top-k", n, lab.clock(lambda: case.call("select", 4), runs))
        got[kind, "selection"] = note(f"{kind}: selection chain", n, lab.clock(lambda: (case.call("compress"), case.call("select", 7)), runs))
        got[kind, "union"] = note(f"{kind}: union lists", n, lab.clock(lambda: case.call("union"), runs))
        got[kind, "sparse"] = note(f"{kind}: sparse attention, lists included", n, lab.clock(lambda: (case.call("union"), case.call("attend_blocks")), runs))
        chain = lambda: (case.call("compress"), case.call("select", 7), case.call("union"), case.call("attend_blocks"))
        got[kind, "chain"] = note(f"{kind}: whole chain", n, lab.clock(chain, runs))
        sizes = {str(tile): unions(case, tile) for tile in (4, 8)}
        visible = round(float((case.indices >= 0).sum(-1).double().mean()), 1)
        figures.append(dict(what=f"{kind}: mean union of tokens", length=n, blocks=sizes, visible=visible))
        print(f"{kind} {n}: unions {sizes}, visible {visible}", flush=True)
        del case, chain
        torch.cuda.empty_cache()
    return got


def ablation(n, blocks, init=1):
    """Selection with approximate and exact log-sum-exp, heads summed while fused and from memory."""
    local = blocks // 3
    shape = dict(make=lab.structured, pooled=False, local=local, topk=blocks - local, init=init)
    took = {}
    for lse in ("approx", "exact"):
        for fused in (True, False):
            chunk = dict(row_chunk=min(n, 32768)) if fused else dict(row_chunk=2048, unfused=True)
            parts = "compress select" + ("" if fused else " unfused")
            case = checked(lab.Case([(0, n)], exact=int(lse == "exact"), **chunk, **shape), f"{blocks} blocks, {lse}, fused {fused}, {n}", parts)
            took[lse, fused] = note(f"{blocks} blocks: selection, {lse}, {'fused' if fused else 'unfused'}", n,
                                    lab.clock(lambda: case.call("select", 7 if fused else 13), 7))
            del case
            torch.cuda.empty_cache()
    return took


def decode(n):
    case = checked(lab.Case([(n - 1, 1)], pooled=False, make=lab.uniform), f"decode {n}", "decode cluster select blocks dense")
    case.splits(attend=48)
    t = lab.graph(lambda: (case.call("decode_select", 3), case.call("decode_attend", 1, 4)))
    sparse = note("decode: select and attend in a graph", n, t, "us")
    case.splits(attend=198)
    note("decode: dense in a graph", n, lab.graph(lambda: case.call("decode_attend", 0, 3)), "us")
    if n <= 131072:
        q = case.q.transpose(0, 1)[None]
        k, v = (x.transpose(0, 1)[None] for x in (case.k[0], case.v[0]))
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            note("decode: cuDNN dense in a graph", n, lab.graph(lambda: F.scaled_dot_product_attention(q, k, v, enable_gqa=True)), "us")
    return sparse


def products():
    """Share of cuBLASLt's speed, by rows x columns x outs."""
    share = {}
    for (rows, columns, outs), variant in (((4096, 4096, 4096), ("tiles", 256, 2)), ((512, 4096, 12288), ("tiles", 192, 2)), ((64, 4096, 4096), ("split", 64, 4))):
        x, w = torch.randn(rows, columns, device=lab.dev).bfloat16(), [(0.1 * torch.randn(outs, columns, device=lab.dev)).bfloat16() for _ in range(4)]
        out = torch.empty(rows, outs, dtype=torch.bfloat16, device=lab.dev)
        linear_hopper.linear(variant, x, w[0], columns, None, out)
        torch.cuda.synchronize()
        ref = x.double() @ w[0].double().T
        if not lab.rel(out, ref) < 4e-3: bad.append(f"product {rows}")
        name = f"{rows} x {columns} x {outs}"
        theirs = note(f"product {name}: torch", rows, linear_hopper.graphed(lambda i: torch.matmul(x, w[i % 4].T, out=out), 8), "us")
        ours = note(f"product {name}: own", rows, linear_hopper.graphed(lambda i: linear_hopper.linear(variant, x, w[i % 4], columns, None, out), 8), "us")
        share[name] = theirs / ours
    return share


def table(at, ablations, decoded, shares):
    long = at[131072]
    crossover = min((n for n in LENGTHS if at[n]["structured", "chain"] < at[n]["cudnn"]), default=None)
    dense = {n: at[n]["cudnn"] / at[n]["dense"] for n in LENGTHS if n >= 32768}
    rows = [
        ("dense prefill, speed over cuDNN, least of 32k to 128k", min(dense.values()), 0.8, 1.0, "x", "more"),
        ("selection chain at 128k, structured", long["structured", "selection"], 20, 14, "ms", "less"),
        ("selection chain at 128k, uniform", long["uniform", "selection"], 20, 14, "ms", "less"),
        ("of which top-k", max(long[kind, "top"] for kind in ("structured", "uniform")), 1.5, None, "ms", "less"),
        ("sparse attention at 128k, structured", long["structured", "sparse"], 45, 32, "ms", "less"),
        ("sparse attention at 128k, uniform", long["uniform", "sparse"], 70, 55, "ms", "less"),
        ("whole chain at 128k, structured", long["structured", "chain"], 65, 46, "ms", "less"),
        ("whole chain at 128k, speed over cuDNN dense", long["cudnn"] / long["structured", "chain"], 4, 5.5, "x", "more"),
        ("shortest measured length at which the chain beats cuDNN dense", crossover, 24576, 16384, "tokens", "less"),
        ("selection at 128k, approximate over exact log-sum-exp", ablations[131072, 96]["approx", True] / ablations[131072, 96]["exact", True], 0.8, None, "x", "less"),
        ("decode select and attend at 128k, in a graph", decoded[131072], 20, 12, "us", "less"),
        ("growth of that from 32k to 512k", decoded[524288] / decoded[32768], 1.5, 1.15, "x", "less"),
        ("own product, share of cuBLASLt's speed, least of three shapes", min(shares.values()), 0.4, None, "x", "more"),
    ]
    met = lambda value, limit, better: None if limit is None else value is not None and (value >= limit if better == "more" else value <= limit)
    return [dict(what=what, measured=value and round(value, 3), unit=unit, better=better, must=must, aim=aim,
                 mustMet=met(value, must, better), aimMet=met(value, aim, better)) for what, value, must, aim, unit, better in rows]


def main(path):
    torch.manual_seed(0)
    at = {n: prefill(n) for n in LENGTHS}
    ablations = {(n, blocks): ablation(n, blocks) for n in (32768, 65536, 131072) for blocks in (16, 96)}
    decoded = {n: decode(n) for n in (32768, 131072, 524288)}
    rows = table(at, ablations, decoded, products())
    setting = dict(gpu=torch.cuda.get_device_name(), torch=torch.__version__, cudnn=torch.backends.cudnn.version(), queryHeads=32, kvHeads=2,
                   headDim=128, dtype="bf16", causal=True, sequences=1, blocks=96, clocks="as found")
    with open(path, "w") as file:
        json.dump(dict(setting=setting, table=rows, figures=figures, wrong=bad), file, indent=1)
    for row in rows: print(row)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(sys.argv[1])
