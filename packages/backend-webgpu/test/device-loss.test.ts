import "./lavapipe.ts";
import { loadModel } from "@infllm/model";
import { DeviceLostError, NotAvailableError, OutOfMemoryError, UsageError } from "@infllm/tensor";
import type { DeviceTensor } from "@infllm/tensor";
import { describe, expect, it } from "vitest";
import { findAdapter } from "../src/gpu.ts";
import { openDevice } from "../src/device.ts";
import { probeWebGpu, webgpuBackend } from "../src/index.ts";
import type { WebGpuBackend } from "../src/index.ts";

async function firstToken(backend: Awaited<ReturnType<typeof webgpuBackend>>): Promise<number> {
  const model = await loadModel("embedded", { backend, contextLength: 256 });
  let token = -1;
  const onFinish = ({ tokens }: { readonly tokens: readonly number[] }): void => {
    token = tokens[0] ?? -1;
  };
  for await (const _ of model.generate("Once upon a time", { maxTokens: 1, temperature: 0, onFinish })) continue;
  await model.close();
  return token;
}

async function expectUsable(fresh: WebGpuBackend): Promise<void> {
  expect(await firstToken(fresh)).toBeGreaterThanOrEqual(0);
  await fresh.close();
}

/** Promises of every kind that wait for the device: small reads, more than the ring has, a large one, the end of all work, a measurement. */
async function pending(backend: WebGpuBackend, large: DeviceTensor): Promise<void> {
  const small = backend.allocate("f32", [4]);
  const waiting = [
    ...Array.from({ length: 6 }, () => backend.read(small)),
    backend.read(large),
    backend.profile(() => undefined),
    backend.sync(),
  ];
  await Promise.all(waiting.map((work) => expect(work).rejects.toThrow(DeviceLostError)));
}

describe("a lost device", () => {
  it("rejects what waits and refuses what follows; a fresh backend works", async () => {
    const { device } = await openDevice({});
    const backend = await webgpuBackend({ device });
    const [x, out] = [backend.allocate("f32", [512, 512]), backend.allocate(backend.capabilities.activation, [512, 512])];
    const weight = backend.neural.allocateWeight(512, 512, "f32");
    backend.neural.linear({ x: out, weight, out: x });
    const waiting = pending(backend, x);
    device.destroy();
    await waiting;
    expect(() => backend.allocate("f32", [1])).toThrow(DeviceLostError);
    expect(() => backend.write(x, new Float32Array(512))).toThrow(DeviceLostError);
    await expect(backend.sync()).rejects.toThrow(/webgpuBackend\(\)/);
    x.release();
    weight.release();
    await backend.close();
    expect(backend.buffers()).toBe(0);

    await expectUsable(await webgpuBackend());
  });

  it("is lost for a model in the middle of an answer, too", async () => {
    const { device } = await openDevice({});
    const backend = await webgpuBackend({ device });
    const model = await loadModel("embedded", { backend, contextLength: 256 });
    const answer = async (): Promise<void> => {
      for await (const _ of model.generate("Once upon a time", { maxTokens: 200, temperature: 0, ignoreEos: true })) device.destroy();
    };
    await expect(answer()).rejects.toThrow(DeviceLostError);
    await expect(model.close()).rejects.toThrow(DeviceLostError);
    await backend.close();
    expect(backend.buffers()).toBe(0);
  });

  it("counts as lost after an error that no one caught", async () => {
    const { device } = await openDevice({});
    const backend = await webgpuBackend({ device });
    const [x, out] = [backend.allocate(backend.capabilities.activation, [1024, 1024]), backend.allocate("f32", [1024, 1024])];
    const weight = backend.neural.allocateWeight(1024, 1024, "f32");
    backend.neural.linear({ x, weight, out });
    const waiting = pending(backend, out);
    device.createBuffer({ size: 16, usage: 0 });
    await waiting;
    expect(() => backend.allocate("f32", [1])).toThrow(/reported an error/);
    await backend.close();
    expect(backend.buffers()).toBe(0);
    device.destroy();
    await expectUsable(await webgpuBackend());
  });

  it("ends an answer after a validation error; the model is loaded again on a fresh backend", async () => {
    const { device } = await openDevice({});
    const backend = await webgpuBackend({ device });
    const model = await loadModel("embedded", { backend, contextLength: 256 });
    const answer = async (): Promise<void> => {
      const pieces = model.generate("Once upon a time", { maxTokens: 200, temperature: 0, ignoreEos: true });
      for await (const _ of pieces) device.createBindGroup({ layout: device.createBindGroupLayout({ entries: [] }), entries: [{ binding: 7, resource: device.createSampler() }] });
    };
    await expect(answer()).rejects.toThrow(DeviceLostError);
    await expect(model.close()).rejects.toThrow(/reported an error/);
    await backend.close();
    expect(backend.buffers()).toBe(0);
    device.destroy();
    await expectUsable(await webgpuBackend());
  });
});

/** A device that refuses buffers of as many bytes as `limit` says, or more, as one without memory does. */
function refusing(device: GPUDevice, limit: { bytes: number }): GPUDevice {
  const scopes: boolean[] = [];
  return new Proxy(device, {
    get(target, name) {
      if (name === "pushErrorScope") return () => scopes.push(false);
      if (name === "popErrorScope") return async () => (scopes.pop() ? { message: "no memory" } : null);
      if (name === "createBuffer") {
        return (descriptor: GPUBufferDescriptor) => {
          const refused = descriptor.size >= limit.bytes;
          if (refused) scopes[scopes.length - 1] = true;
          return target.createBuffer(descriptor);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

describe("memory that is not there", () => {
  it("names what was allocated, and works again once that is released", async () => {
    const { device } = await openDevice({});
    const backend = await webgpuBackend({ device: refusing(device, { bytes: 2 ** 20 }) });
    const kept = backend.allocate("f32", [4]);
    backend.write(kept, Float32Array.of(1, 2, 3, 4));
    const cache = backend.selection.allocateCache({ pages: 64, kvHeads: 2, headDim: 64, blockSize: 64, dtype: "f32" });
    await expect(backend.sync()).rejects.toThrow(OutOfMemoryError);
    await expect(backend.read(kept)).rejects.toThrow(/KV cache \(64 pages of 64 tokens\) needs 2\.00 MiB/);
    cache.release();
    expect(await backend.read(kept)).toEqual(Float32Array.of(1, 2, 3, 4));
    await backend.close();
    device.destroy();
  });

  it("fails a load with the name of what did not fit, keeps nothing, and the same backend loads it once there is memory", async () => {
    const { device } = await openDevice({});
    const limit = { bytes: 2 ** 20 };
    const backend = await webgpuBackend({ device: refusing(device, limit) });
    const before = backend.memory().used;
    const load = () => loadModel("embedded", { backend, contextLength: 256 });
    await expect(load()).rejects.toThrow(OutOfMemoryError);
    await expect(load()).rejects.toThrow(/A weight \[\d+, \d+\] of \w+ needs \d/);
    expect(backend.memory().used).toBe(before);
    limit.bytes = Infinity;
    expect(await firstToken(backend)).toBeGreaterThanOrEqual(0);
    await backend.close();
    device.destroy();
  });

  it("is refused at once beyond the limit and beyond the largest buffer", async () => {
    const backend = await webgpuBackend({ memoryLimit: 4 * 2 ** 20 });
    const { used, available } = backend.memory();
    expect(used + available).toBe(4 * 2 ** 20);
    expect(() => backend.allocate("f32", [2 ** 20])).toThrow(/A tensor of f32 \[1048576\] needs 4\.00 MiB.*memoryLimit/);
    await backend.close();
    const open = await webgpuBackend();
    expect(() => open.allocate("f32", [2 ** 40])).toThrow(OutOfMemoryError);
    await open.close();
  });
});

describe("opening", () => {
  it("takes an adapter of the caller's", async () => {
    const adapter = await findAdapter({});
    const backend = await webgpuBackend({ adapter, activation: "f32" });
    expect(backend.device.name).toBe(adapter.info.description || adapter.info.device);
    await backend.close();
  });

  it("says what is missing where no adapter fits", async () => {
    await expect(webgpuBackend({ dawnFlags: ["adapter=no such GPU"] })).rejects.toThrow(NotAvailableError);
    expect((await probeWebGpu({ dawnFlags: ["adapter=no such GPU"] })).missing).toMatch(/WebGPU/);
    expect((await probeWebGpu()).adapter).toBeDefined();
  });

  it("refuses use after close", async () => {
    const backend = await webgpuBackend();
    const tensor = backend.allocate("f32", [4]);
    const step = backend.record(() => undefined);
    await backend.close();
    await backend.close();
    expect(() => backend.allocate("f32", [4])).toThrow(UsageError);
    expect(() => step.run()).toThrow(/webgpuBackend\(\)/);
    await expect(backend.read(tensor)).rejects.toThrow(UsageError);
  });
});
