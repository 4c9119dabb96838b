/** How weights come from files to a backend: in which order, with how much in memory, and what is left when it fails. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { referenceBackend } from "@infllm/backend-cpu";
import { bytesSource, fromF32, openSafetensors, random } from "@infllm/tensor";
import type { ByteSource, HostTensor } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { blobFiles } from "../src/formats/blob-files.ts";
import { httpSource } from "../src/formats/http-source.ts";
import type { ModelFiles } from "../src/formats/model-files.ts";
import { fileSource } from "../src/formats/node-files.ts";
import { loadModel } from "../src/index.ts";
import type { LoadOptions, ModelBackend } from "../src/index.ts";
import { PIECES_IN_MEMORY, readAhead } from "../src/weights/read-ahead.ts";
import { startHub } from "./formats/hub-server.ts";
import { hfFiles, randomModel } from "./support/random-model.ts";
import type { FileOptions } from "./support/random-model.ts";

const PIECE = 4 * 2 ** 20;
const qwen = randomModel("qwen2");
/** Its table and its output matrix come in several pieces. */
const large = randomModel("qwen3", { vocab_size: 70_000 });

/** The tensors of qwen2, two layers of it, in the order in which they are loaded; those in one list are written as one. */
const order: readonly (readonly string[])[] = [
  ["model.embed_tokens.weight"],
  ["lm_head.weight"],
  ...[0, 1].flatMap((layer) => {
    const inLayer = (name: string) => `model.layers.${layer}.${name}`;
    const qkv = ["q", "k", "v"].map((part) => inLayer(`self_attn.${part}_proj`));
    return [
      [inLayer("input_layernorm.weight")],
      ...qkv.map((name) => [`${name}.weight`]),
      qkv.map((name) => `${name}.bias`),
      [inLayer("self_attn.o_proj.weight")],
      [inLayer("post_attention_layernorm.weight")],
      ...["gate", "up", "down"].map((part) => [inLayer(`mlp.${part}_proj.weight`)]),
    ];
  }),
  ["model.norm.weight"],
];

/** Hears of every read of weights, and may stop it or make it fail. */
interface Listener {
  begin?(from: number, to: number): void;
  end?(from: number, to: number): Promise<void> | void;
  close?(): void;
}

function listened(files: ModelFiles, listener: Listener): ModelFiles {
  return {
    ...files,
    async open(path) {
      const source = await files.open(path);
      return path.endsWith(".safetensors") ? { ...source, ...heard(source, listener) } : source;
    },
  };
}

function heard(source: ByteSource, listener: Listener): Pick<ByteSource, "read" | "close"> {
  return {
    async read(from, to, into) {
      listener.begin?.(from, to);
      await listener.end?.(from, to);
      return source.read(from, to, into);
    },
    async close() {
      listener.close?.();
      await source.close();
    },
  };
}

/** Begin of each tensor's bytes in the file, by name. */
async function places(files: ModelFiles): Promise<ReadonlyMap<string, readonly [number, number]>> {
  const source = await files.open("model.safetensors");
  const header = Number(new DataView((await source.read(0, 8)).slice().buffer).getBigUint64(0, true));
  const entries = JSON.parse(new TextDecoder().decode(await source.read(8, 8 + header))) as Record<string, { data_offsets: [number, number] }>;
  return new Map(Object.entries(entries).map(([name, { data_offsets: [from, to] }]) => [name, [8 + header + from, 8 + header + to]]));
}

/** The reference backend, with what is written to weights and norms. */
function recorded() {
  const plain = referenceBackend();
  const uploads: Uint8Array[] = [];
  const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => new Uint8Array(buffer, byteOffset, byteLength).slice();
  const backend: ModelBackend = {
    ...plain,
    memory: () => plain.memory(),
    write(tensor, values, at) {
      uploads.push(bytesOf(values));
      plain.write(tensor, values, at);
    },
    neural: {
      ...plain.neural,
      allocateWeight(rows, columns, dtype) {
        const weight = plain.neural.allocateWeight(rows, columns, dtype);
        const write = weight.writeRows.bind(weight);
        weight.writeRows = (from, data) => {
          uploads.push(bytesOf(data));
          write(from, data);
        };
        return weight;
      },
    },
  };
  return { backend, uploads };
}

function load(files: ModelFiles, options: Partial<LoadOptions> = {}) {
  return loadModel(files, { backend: referenceBackend(), contextLength: 64, ...options });
}

function damaged(name: string): FileOptions {
  const { shape, values } = qwen.tensors.get(name) ?? { shape: [], values: new Float32Array() };
  const data: HostTensor = { dtype: "f32", shape, data: fromF32("f32", values.map((value, i) => (i === 5 ? NaN : value))) };
  return { tensors: { [name]: data } };
}

describe("weights are streamed", () => {
  it("tensor after tensor, with progress after each piece, however their reads end", async () => {
    const files = hfFiles(qwen);
    const delays = random(1);
    const slow = async (): Promise<void> => {
      for (let turns = delays.below(5); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    };
    const { backend, uploads } = recorded();
    const progress: number[] = [];
    const model = await load(listened(files, { end: slow }), { backend, onProgress: ({ done }) => progress.push(done) });
    await model.close();

    const valuesOf = (name: string) => [...(qwen.tensors.get(name)?.values ?? [])];
    const expected = order.map((tensors) => fromF32("f32", Float32Array.from(tensors.flatMap(valuesOf))));
    // Before them goes the rotation.
    expect(uploads.slice(1, 1 + expected.length)).toEqual(expected);
    const sizes = order.flat().map((name) => 4 * valuesOf(name).length);
    expect(progress).toEqual(sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b, 0)));
  });

  it("by no more than a few pieces ahead of what is done", async () => {
    const at = await places(hfFiles(large));
    const first = Math.min(...[...at.values()].map(([from]) => from));
    let [read, done, most] = [0, 0, 0];
    const begin = (from: number, to: number): void => {
      if (from < first) return;
      expect(to - from).toBeLessThanOrEqual(PIECE);
      read += to - from;
      // The piece that is done keeps its memory until the next is asked for.
      most = Math.max(most, read - done);
    };
    const model = await load(listened(hfFiles(large), { begin }), { onProgress: (progress) => ({ done } = progress) });
    expect(done).toBe(read);
    expect(most).toBeGreaterThan((PIECES_IN_MEMORY - 1) * PIECE);
    expect(most).toBeLessThanOrEqual(PIECES_IN_MEMORY * PIECE);
    await model.close();
  });
});

it("weights read ahead are the same from memory, a file, a blob and a server", async () => {
  const bytes = await (async () => {
    const source = await hfFiles(large, { dtype: "bf16" }).open("model.safetensors");
    return source.read(0, source.size);
  })();
  const folder = await mkdtemp(join(tmpdir(), "infllm-ahead-"));
  const hub = await startHub({ "org/model": { files: { "model.safetensors": bytes } } });
  try {
    await writeFile(join(folder, "model.safetensors"), bytes);
    const sources = [
      bytesSource(bytes),
      await fileSource(join(folder, "model.safetensors")),
      await blobFiles("dropped", new Map([["model.safetensors", new Blob([bytes.slice()])]])).open("model.safetensors"),
      await httpSource(`${hub.url}/org/model/resolve/main/model.safetensors`),
    ];
    for (const source of sources) {
      const file = await openSafetensors(source);
      const pieces = [...file.tensors].flatMap(([name, { shape: [rows = 1, columns] }]) =>
        columns === undefined
          ? [{ name, from: 0, to: 1, bytes: 2 * rows }]
          : Array.from({ length: Math.ceil(rows / 5000) }, (_, i) => {
              const [from, to] = [5000 * i, Math.min(rows, 5000 * (i + 1))];
              return { name, from, to, bytes: 2 * columns * (to - from) };
            }),
      );
      const reading = readAhead({ readRows: (name, from, to, into) => file.read(name, from, to, into) }, pieces);
      for await (const { piece, data } of reading) {
        const at = (file.tensors.get(piece.name)?.offset ?? NaN) + piece.from * (piece.bytes / (piece.to - piece.from));
        expect(Buffer.compare(data, bytes.subarray(at, at + piece.bytes))).toBe(0);
      }
      await file.close();
    }
  } finally {
    await hub.close();
    await rm(folder, { recursive: true });
  }
});

describe("loading that ends early", () => {
  const broken = "model.layers.0.self_attn.v_proj.weight";
  const before = "model.layers.0.self_attn.k_proj.weight";

  async function failing(options: FileOptions, unreadable: string): Promise<{ error: unknown; running: number; used: number; uploads: number }> {
    const files = hfFiles(qwen, options);
    const [start] = (await places(files)).get(unreadable) ?? [-1];
    let running = 0;
    let atClose = NaN;
    const { backend, uploads } = recorded();
    const listener: Listener = {
      begin: () => void running++,
      async end(from) {
        if (from !== start) await new Promise((resolve) => setImmediate(resolve));
        running--;
        if (from === start) throw new Error(`${unreadable} cannot be read`);
      },
      close: () => (atClose = running),
    };
    const error = await load(listened(files, listener), { backend }).then(() => undefined, (reason: unknown) => reason);
    return { error, running: atClose, used: backend.memory().used, uploads: uploads.length };
  }

  it("names the tensor whose read failed, once all before it are loaded", async () => {
    const { error, running, used, uploads } = await failing({}, broken);
    expect(String(error)).toContain(`${broken} cannot be read`);
    // Rotation, table, output matrix, norm, q and k.
    expect(uploads).toBe(6);
    expect({ running, used }).toEqual({ running: 0, used: 0 });
  });

  it("names a damaged tensor before one that could not be read after it, and the other way round", async () => {
    const { error, running, used } = await failing(damaged(before), broken);
    expect(String(error)).toMatch(/k_proj.weight holds NaN or an infinite number \(row 0, column 5\)/);
    expect({ running, used }).toEqual({ running: 0, used: 0 });
    expect(String((await failing(damaged(broken), before)).error)).toContain(`${before} cannot be read`);
  });

  it("leaves no read behind when it is aborted", async () => {
    const stop = new AbortController();
    let [begun, running, atClose, seen] = [0, 0, NaN, 0];
    const listener: Listener = {
      begin: () => void (begun++, running++),
      async end() {
        await new Promise((resolve) => setImmediate(resolve));
        running--;
      },
      close: () => (atClose = running),
    };
    const { backend } = recorded();
    const onProgress = (): void => {
      if (++seen === 5) stop.abort(new Error("enough"));
    };
    await expect(load(listened(hfFiles(qwen), listener), { backend, signal: stop.signal, onProgress })).rejects.toThrow("enough");
    const whenEnded = begun;
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    expect({ begun, running, atClose, seen, used: backend.memory().used }).toEqual({ begun: whenEnded, running: 0, atClose: 0, seen: 5, used: 0 });
  });
});
