/** What `webgpuBackend` would find here, without keeping anything open: for lists of devices. */
import { InfllmError } from "@infllm/tensor";
import { openDevice } from "./device.ts";
import type { DeviceOptions } from "./device.ts";
import { isSoftware } from "./gpu.ts";

export interface WebGpuProbe {
  /** The adapter's name; absent when there is none. */
  readonly adapter?: string;
  /** Does the CPU stand in for a GPU? The cpu backend is faster then. */
  readonly software?: boolean;
  readonly features: readonly string[];
  /** Why the backend cannot run here, and what would change that; absent when it can. */
  readonly missing?: string;
}

export async function probeWebGpu(options: Omit<DeviceOptions, "device"> = {}): Promise<WebGpuProbe> {
  try {
    const { device, name } = await openDevice(options);
    const features = [...device.features];
    const software = isSoftware(device.adapterInfo);
    device.destroy();
    return { adapter: name, software, features };
  } catch (error) {
    if (error instanceof InfllmError) return { features: [], missing: error.message };
    throw error;
  }
}
