/** What goes between host and GPU in the stream's order: the fake driver makes copies as late as it may. */
import { BatchState, KvCache } from "@infllm/attention";
import { DeviceLostError, OutOfMemoryError, UsageError, random } from "@infllm/tensor";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { buildFake, loadFake } from "./fake-driver.ts";
import type { Fake } from "./fake-driver.ts";

let fake: Fake;
beforeAll(async () => {
  fake = await loadFake(buildFake());
});
beforeEach(() => fake.reset());

const MIB = 2 ** 20;

describe("reads", () => {
  it("give what the memory held at the call, whatever is enqueued after it", async () => {
    const backend = fake.open();
    fake.slow(5);
    const tensor = backend.allocate("f32", [3, 2]);
    backend.write(tensor, Float32Array.of(1, 2, 3, 4, 5, 6));
    const whole = backend.read(tensor);
    const column = backend.read(tensor.view({ columns: [1, 2] }));
    backend.write(tensor, Float32Array.of(7, 8), 1);
    const later = backend.read(tensor);
    backend.write(tensor, new Float32Array(6));
    expect(await later).toEqual(Float32Array.of(1, 2, 7, 8, 5, 6));
    expect(await column).toEqual(Float32Array.of(2, 4, 6));
    expect(await whole).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    await backend.close();
    expect(fake.live()).toBe(0);
  });

  it("of any size and at any time give their own memory", async () => {
    const backend = fake.open();
    const source = random(4);
    const tensors = Array.from({ length: 20 }, (_, i) => {
      const values = Int32Array.from({ length: i % 7 === 3 ? 2 * MIB : 1 + source.below(5000) }, () => source.next() | 0);
      const tensor = backend.allocate("i32", [values.length]);
      backend.write(tensor, values);
      return { tensor, values };
    });
    for (let round = 0; round < 2; round++) {
      const read = await Promise.all(tensors.map(({ tensor }) => backend.read(tensor)));
      read.forEach((values, i) => expect(Buffer.compare(bytes(values), bytes(tensors[i]?.values ?? new Int32Array()))).toBe(0));
    }
    expect(await backend.read(backend.allocate("f32", [0, 4]))).toEqual(new Float32Array());
    await backend.close();
    expect(fake.live()).toBe(0);
  });

  it("end with a clear error when the backend is closed or lost meanwhile", async () => {
    for (const [problem, kind] of [["close", UsageError], ["fault", DeviceLostError]] as const) {
      fake.reset();
      const backend = fake.open();
      const tensor = backend.allocate("f32", [4]);
      fake.slow(50);
      const reading = expect(backend.read(tensor)).rejects.toThrow(kind);
      if (problem === "fault") fake.fail("cuEventQuery", 700, 2);
      else await backend.close();
      await reading;
      await backend.close();
      if (problem === "close") expect(fake.live()).toBe(0);
    }
  });
});

describe("writes", () => {
  it("take the data at once", async () => {
    const backend = fake.open();
    const tensor = backend.allocate("i32", [3]);
    const data = Int32Array.of(1, 2, 3);
    backend.write(tensor, data);
    data.fill(9);
    expect(await backend.read(tensor)).toEqual(Int32Array.of(1, 2, 3));
    await backend.close();
  });

  it("of weights overlap with reading the next piece, and wait when two are on their way", async () => {
    const backend = fake.open();
    const columns = 64;
    const rows = (20 * MIB) / 2 / columns;
    const weight = backend.neural.allocateWeight(rows, columns, "f32");
    const piece = new Uint8Array(rows * 4 * columns).fill(1).subarray(0, 4 * MIB);
    const pieces = weight.bytes / piece.length;
    const waits: number[] = [];
    for (let i = 0; i < pieces; i++) {
      weight.writeRows((i * piece.length) / (4 * columns), piece);
      waits.push(fake.log().filter((line) => line === "wait").length);
    }
    // Pieces of 4 MiB fill two places of 8: the fifth needs the first place again, the seventh the second.
    expect(waits).toEqual([0, 0, 0, 0, 1, 1, 2, 2, 3, 3]);
    await backend.close();
    expect(fake.live()).toBe(0);
  });

  it("larger than what is pinned arrive whole, between others", async () => {
    const backend = fake.open();
    const source = random(8);
    const lengths = [5, 3 * MIB, 7, 2 * MIB + 1, 2 * MIB, 1, 5 * MIB + 3];
    const written = lengths.map((length) => {
      const values = Int32Array.from({ length }, () => source.next() | 0);
      const tensor = backend.allocate("i32", [length]);
      backend.write(tensor, values);
      return { tensor, values };
    });
    for (const { tensor, values } of written) expect(Buffer.compare(bytes(await backend.read(tensor)), bytes(values))).toBe(0);
    await backend.close();
    expect(fake.live()).toBe(0);
  });
});

describe("memory that is lent to read files into", () => {
  it("is fetched from where it lies, later, and may change again once it was", async () => {
    const backend = fake.open();
    const weight = backend.neural.allocateWeight(8, 64, "f32");
    const tensor = backend.allocate("i32", [3]);
    const lent = backend.uploadMemory?.(4096);
    if (lent === undefined) throw new Error("no memory to upload from");
    expect(backend.memory().staging).toBe(4096);
    await lent.fetched();
    weight.writeRows(2, lent.bytes.fill(1).subarray(1024, 1024 + 4 * 256));
    backend.write(tensor, new Int32Array(lent.bytes.buffer, 64, 3));
    // Not copied on the way, so that what is there when the device fetches counts.
    expect(backend.memory().staging).toBe(4096);
    lent.bytes.set([7, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0], 64);
    fake.slow(3);
    await lent.fetched();
    lent.bytes.fill(5);
    expect(await backend.read(tensor)).toEqual(Int32Array.of(7, 8, 9));
    lent.release();
    lent.release();
    await backend.close();
    expect(fake.live()).toBe(0);
  });

  it("is waited for by close, which refuses to copy from it meanwhile", async () => {
    const backend = fake.open();
    const tensor = backend.allocate("i32", [4]);
    const [one, two] = [backend.uploadMemory?.(64), backend.uploadMemory?.(64)];
    backend.write(tensor, new Int32Array(one?.bytes.buffer ?? new ArrayBuffer(), 0, 4));
    let closed = false;
    const closing = backend.close().then(() => (closed = true));
    expect(() => backend.write(tensor, Int32Array.of(1, 2, 3, 4))).toThrow(/being closed/);
    expect(() => backend.uploadMemory?.(64)).toThrow(/being closed/);
    one?.release();
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    two?.bytes.fill(3);
    two?.release();
    await closing;
    expect(fake.live()).toBe(0);
    await expect(async () => backend.uploadMemory?.(64)).rejects.toThrow(UsageError);
  });

  it("is refused with the reason where the system grants none", () => {
    const backend = fake.open();
    fake.fail("cuMemAllocHost_v2", 2);
    expect(() => backend.uploadMemory?.(64)).toThrow(OutOfMemoryError);
  });
});

describe("a decode step", () => {
  it("is one write of what changed, one launch, and one read", async () => {
    const backend = fake.open();
    expect(backend.capabilities.runsLater).toBe(true);
    const cache = KvCache.allocate(backend, { layers: 1, kvHeads: 2, headDim: 128, contextLength: 512 });
    const state = BatchState.allocate(backend, cache, { rows: 16, sequences: 1 });
    const sequence = cache.addSequence();
    const [logits, settings, out] = [backend.allocate("f32", [1, 64]), backend.allocate("f32", [1, 4]), backend.allocate("i32", [1])];
    state.set([{ sequence, count: 3 }]);
    const step = backend.record(() => backend.neural.sample({ logits, settings, out }));
    const counted = async (): Promise<{ calls: number; log: string[] }> => {
      const [calls, lines] = [fake.calls(), fake.log().length];
      state.set([{ sequence, count: 1 }]);
      step.run();
      await backend.read(out);
      return { calls: fake.calls() - calls, log: fake.log().slice(lines) };
    };
    await counted();
    // The context made current for each of the three; the copy, the launch; the copy back, its event, and one question.
    expect(await counted()).toEqual({ calls: 3 + 2 + 3, log: ["write", "replay", "read"] });
    await backend.close();
  });
});

describe("measuring", () => {
  it("runs pieces as one graph with events between them, and gives back what it took", async () => {
    const backend = fake.open();
    const [logits, settings, out] = [backend.allocate("f32", [1, 64]), backend.allocate("f32", [1, 4]), backend.allocate("i32", [1])];
    const sample = (): void => backend.neural.sample({ logits, settings, out });
    sample();
    const { used, recorded } = backend.memory();
    const lines = fake.log().length;
    expect(await backend.measure?.([sample, () => undefined, sample])).toEqual([0.0015, 0.0015, 0.0015].map((seconds) => expect.closeTo(seconds)));
    const log = fake.log().slice(lines);
    const names = log.map((line) => line.split(" ")[0]);
    expect(log.join()).not.toContain("overlap");
    expect(names).toEqual(["capture", "event", "launch", "event", "event", "launch", "event", "captured", "replay"]);
    expect(backend.memory()).toMatchObject({ used, recorded });
    await expect(backend.measure?.([() => backend.write(out, Int32Array.of(1))])).rejects.toThrow("write cannot be recorded");
    backend.write(out, Int32Array.of(1));
    expect(await backend.read(out)).toEqual(Int32Array.of(1));
    await backend.close();
    expect(fake.live()).toBe(0);
  });

  it("tells scratch and what recorded steps hold", async () => {
    const backend = fake.open();
    const before = backend.memory();
    const [x, weight, out] = [backend.allocate("bf16", [1, 64]), backend.neural.allocateWeight(64, 64, "q8_0"), backend.allocate("bf16", [1, 64])];
    weight.writeRows(0, new Uint8Array(64 * 68));
    expect(backend.memory().scratch).toBeGreaterThan(before.scratch ?? 0);
    expect(before).toMatchObject({ recorded: 0, staging: 0 });
    expect(backend.memory().staging).toBeGreaterThan(0);
    const step = backend.record(() => backend.neural.linear({ x, weight, out }));
    expect(backend.memory().recorded).toBeGreaterThanOrEqual(0);
    step.release();
    expect(backend.memory().recorded).toBe(0);
    await backend.close();
  });
});

function bytes({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
