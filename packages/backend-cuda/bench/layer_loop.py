"""Prefill of a whole model's layers in torch, dense attention by cuDNN, products by cuBLAS: what ours is compared with end to end.

    python3 layer_loop.py FILE [tokens ..]      # MiniCPM4-8B's shape, bf16, one set of layer weights used 32 times

Weights are read once a layer either way, so that using one set again changes nothing; the output matrix counts for one row.
"""
import json, sys
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

LAYERS, HIDDEN, HEADS, KV_HEADS, DIM, INTERMEDIATE, VOCABULARY = 32, 4096, 32, 2, 128, 16384, 73448
dev = torch.device("cuda")


def matrix(rows, columns):
    return (torch.randn(rows, columns, device=dev) / columns**0.5).bfloat16()


class Layer:
    def __init__(self):
        self.norm1 = self.norm2 = torch.ones(HIDDEN, device=dev, dtype=torch.bfloat16)
        self.qkv, self.out = matrix((HEADS + 2 * KV_HEADS) * DIM, HIDDEN), matrix(HIDDEN, HEADS * DIM)
        self.gate_up, self.down = matrix(2 * INTERMEDIATE, HIDDEN), matrix(HIDDEN, INTERMEDIATE)

    def attention(self, x, cos, sin):
        n = x.shape[0]
        q, k, v = (F.rms_norm(x, (HIDDEN,), self.norm1, 1e-6) @ self.qkv.T).split([HEADS * DIM, KV_HEADS * DIM, KV_HEADS * DIM], 1)
        q, k, v = (t.view(1, n, -1, DIM).transpose(1, 2) for t in (q, k, v))
        q, k = (rotated(t, cos, sin) for t in (q, k))
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, 1) for t in (k, v))
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return a.transpose(1, 2).reshape(n, HEADS * DIM) @ self.out.T

    def feed_forward(self, x):
        # In pieces, as ours: all rows at once would take 12 GB for what is between the matrices.
        pieces = []
        for part in F.rms_norm(x, (HIDDEN,), self.norm2, 1e-6).split(16384):
            gate, up = (part @ self.gate_up.T).chunk(2, 1)
            pieces.append((F.silu(gate) * up) @ self.down.T)
        return torch.cat(pieces)


def rotated(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


@torch.no_grad()
def prefill(layer, embedding, output, ids, cos, sin):
    x = embedding[ids]
    for _ in range(LAYERS):
        x = x + 0.25 * layer.attention(x, cos, sin)
        x = x + 0.25 * layer.feed_forward(x)
    return (F.rms_norm(x[-1:], (HIDDEN,), layer.norm1, 1e-6) @ output.T).argmax().item()


def main(path, lengths):
    torch.manual_seed(0)
    layer, embedding, output = Layer(), matrix(VOCABULARY, HIDDEN), matrix(VOCABULARY, HIDDEN)
    figures = []
    for n in lengths:
        ids = torch.randint(0, VOCABULARY, (n,), device=dev)
        angle = torch.arange(n, device=dev)[:, None] * 10000.0 ** (-torch.arange(DIM // 2, device=dev) / (DIM // 2))
        cos, sin = angle.cos().bfloat16(), angle.sin().bfloat16()
        seconds = []
        for run in range(2):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            prefill(layer, embedding, output, ids, cos, sin)
            end.record()
            torch.cuda.synchronize()
            if run > 0: seconds.append(start.elapsed_time(end) / 1000)
        figures.append(dict(tokens=n, seconds=min(seconds), most=max(seconds)))
        print(figures[-1], flush=True)
    with open(path, "w") as file:
        json.dump(dict(gpu=torch.cuda.get_device_name(), torch=torch.__version__, cudnn=torch.backends.cudnn.version(), prefill=figures), file)


if __name__ == "__main__":
    main(sys.argv[1], [int(n) for n in sys.argv[2:]] or [131072, 32768])
