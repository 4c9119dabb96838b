/** A backend for unit tests of host-side bookkeeping: it remembers what is written and refuses to compute. */
import type { Backend, DeviceTensor, HostArray } from "@infllm/tensor";
import type { LayerCache, LayerCacheShape, SelectionBackend } from "@infllm/block-selection";

export class FakeTensor implements DeviceTensor {
  readonly dtype = "i32";
  readonly rowStride = 1;

  constructor(
    readonly shape: readonly number[],
    readonly data: number[],
  ) {}

  /** Row views only. */
  view({ rows: [from, to] = [0, this.shape[0] ?? 0] }: { rows?: readonly [number, number] }): FakeTensor {
    const width = this.shape.slice(1).reduce((a, b) => a * b, 1);
    return new FakeTensor([to - from, width], this.data.slice(from * width, to * width));
  }

  release(): void {
    this.data.length = 0;
  }
}

/** Layers beyond `layers` do not fit. */
export function fakeBackend(layers = Infinity): SelectionBackend & { readonly live: Set<LayerCache>; readonly writes: DeviceTensor[] } {
  const live = new Set<LayerCache>();
  const writes: DeviceTensor[] = [];
  const refuse = (): never => {
    throw new Error("The fake backend computes nothing.");
  };
  const cacheBytes = (shape: LayerCacheShape): number => shape.pages * 1000;
  const backend: Backend = {
    name: "fake",
    capabilities: {
      ops: [], activation: "f32", weights: ["f32"], kvCache: ["f16", "f32"], headDim: { min: 1, max: 256, multipleOf: 1 },
      prefillRows: 16, description: "", limitations: [],
    },
    allocate: (_, shape) => new FakeTensor(shape, new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(-9)),
    write(tensor: DeviceTensor, data: HostArray) {
      writes.push(tensor);
      if (tensor instanceof FakeTensor) data.forEach((value, i) => (tensor.data[i] = value));
    },
    read: refuse,
    record: refuse,
    sync: refuse,
    memory: refuse,
    close: refuse,
  };
  return {
    ...backend,
    live,
    writes,
    selection: {
      cacheBytes,
      allocateCache(shape) {
        if (live.size >= layers) throw new Error("full");
        const cache: LayerCache = { shape, bytes: cacheBytes(shape), release: () => live.delete(cache) };
        live.add(cache);
        return cache;
      },
      appendKv: refuse,
      compressKeys: refuse,
      selectBlocks: refuse,
      readCache: refuse,
    },
  };
}
