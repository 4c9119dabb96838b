/** What `webgpuBackend` would find here, without keeping anything open: for lists of devices. */
import { InfllmError } from "@infllm/tensor";
import { openDevice } from "./device.ts";
import type { DeviceOptions } from "./device.ts";

export interface WebGpuProbe {
  /** The adapter's name; absent when there is none. */
  readonly adapter?: string;
  readonly features: readonly string[];
  /** Why the backend cannot run here, and what would change that; absent when it can. */
  readonly missing?: string;
}

export async function probeWebGpu(options: Omit<DeviceOptions, "device"> = {}): Promise<WebGpuProbe> {
  try {
    const { device, name } = await openDevice(options);
    const features = [...device.features];
    device.destroy();
    return { adapter: name, features };
  } catch (error) {
    if (error instanceof InfllmError) return { features: [], missing: error.message };
    throw error;
  }
}
