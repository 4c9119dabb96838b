/** What a decode step asks of the GPU: one submit, small writes, and no wait before the next step is on its way. */
import "./lavapipe.ts";
import { loadModel } from "@infllm/model";
import { describe, expect, it } from "vitest";
import { openDevice } from "../src/device.ts";
import { webgpuBackend } from "../src/index.ts";

type Call =
  | { readonly what: "submit" | "bind group" | "buffer" | "decoding" }
  | { readonly what: "write"; readonly bytes: number };

type Method = (...args: unknown[]) => unknown;

/** The object with some methods told of before they are called. */
function watched<Thing extends object>(thing: Thing, hooks: Readonly<Record<string, (args: readonly unknown[], result: unknown) => unknown>>): Thing {
  return new Proxy(thing, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const hook = typeof name === "string" ? hooks[name] : undefined;
      const method = (value as Method).bind(target);
      return hook === undefined ? method : (...args: unknown[]) => hook(args, method(...args));
    },
  });
}

/** What the GPU was asked for, and whether tokens are held back until the step after theirs was submitted. */
class Log {
  readonly calls: Call[] = [];
  submits = 0;
  /** Reads that are held back yet; those after them are not. */
  held = 0;

  note(call: Call): void {
    this.calls.push(call);
    if (call.what === "submit") this.submits++;
  }

  /** Resolves once something was submitted after this was called. */
  async submittedAfter(): Promise<void> {
    const before = this.submits;
    for (const deadline = performance.now() + 20_000; this.submits === before; ) {
      if (performance.now() > deadline) throw new Error("Nothing was submitted while a token was waited for.");
      await new Promise(setImmediate);
    }
  }
}

function loggingDevice(device: GPUDevice, log: Log): GPUDevice {
  const note = (call: Call) => (_: readonly unknown[], result: unknown) => (log.note(call), result);
  const queue = watched(device.queue, {
    submit: note({ what: "submit" }),
    writeBuffer(args, result) {
      const [, , data, , size] = args as Parameters<GPUQueue["writeBuffer"]>;
      const bytes = size ?? data.byteLength;
      if (bytes > 0) log.note({ what: "write", bytes });
      return result;
    },
  });
  const logged = watched(device, {
    createBindGroup: note({ what: "bind group" }),
    createBuffer(_, made) {
      log.note({ what: "buffer" });
      const buffer = made as GPUBuffer;
      const map = buffer.mapAsync.bind(buffer);
      buffer.mapAsync = async (...args) => {
        const next = log.held > 0 ? log.submittedAfter() : undefined;
        log.held--;
        await Promise.all([map(...args), next]);
        return undefined;
      };
      return buffer;
    },
  });
  return new Proxy(logged, { get: (target, name) => (name === "queue" ? queue : Reflect.get(target, name, target)) });
}

describe("decoding", async () => {
  const { device } = await openDevice({});
  const log = new Log();
  const backend = await webgpuBackend({ device: loggingDevice(device, log) });
  const model = await loadModel("embedded", { backend, contextLength: 256 });
  const steps = 24;
  const generated = async (): Promise<number> => {
    let tokens = 0;
    // The first answer makes buffers and records the step.
    for (const held of [0, steps - 1]) {
      tokens = 0;
      const options = { maxTokens: steps + 1, temperature: 0, ignoreEos: true };
      for await (const _ of model.generate("Once upon a time", { ...options, onFinish: (stats) => (tokens = stats.generatedTokens) })) {
        if (log.calls.some(({ what }) => what === "decoding")) continue;
        if (held > 0) log.note({ what: "decoding" });
        log.held = held;
      }
    }
    return tokens;
  };
  const tokens = await generated();
  const decoding = log.calls.slice(log.calls.findIndex(({ what }) => what === "decoding"));
  await model.close();
  await backend.close();
  device.destroy();
  const count = (what: Call["what"]): number => decoding.filter((call) => call.what === what).length;

  it("has the next step submitted before a token is there", () => expect(tokens).toBe(steps + 1));

  it("submits once a token", () => expect(count("submit")).toBe(steps));

  it("makes no buffers and no bind groups", () => expect([count("buffer"), count("bind group")]).toEqual([0, 0]));

  it("writes one small thing a token", () => {
    const writes = decoding.flatMap((call) => (call.what === "write" ? [call.bytes] : []));
    expect(writes.length).toBe(steps);
    expect(Math.max(...writes)).toBeLessThanOrEqual(64);
  });
});
