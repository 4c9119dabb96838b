/** A device of Dawn's null backend with WebGPU's default limits: it checks everything that is asked of it and computes nothing. */
import { create } from "webgpu";

export interface NullDevice {
  readonly device: GPUDevice;
  /** Of the submits so far. */
  submits(): number;
  close(): void;
}

export async function openNullDevice(): Promise<NullDevice> {
  const gpu = create(["backend=null"]);
  const adapter = await gpu.requestAdapter();
  if (adapter === null) throw new Error("Dawn's null backend gives no adapter.");
  const device = await adapter.requestDevice();
  let submits = 0;
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  queue.submit = (buffers) => {
    submits++;
    return submit(buffers);
  };
  Object.defineProperty(device, "queue", { value: queue });
  const held = new Set([gpu]);
  return {
    device,
    submits: () => submits,
    close() {
      device.destroy();
      held.clear();
    },
  };
}
