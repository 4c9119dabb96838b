/** What `cudaBackend` would find here, without opening anything: for lists of devices. */
import { InfllmError } from "@infllm/tensor";
import { listDevices } from "./context.ts";
import type { DeviceInfo } from "./context.ts";
import { loadDriver } from "./driver.ts";
import { readKernels } from "./module.ts";

export interface CudaProbe {
  readonly devices: readonly DeviceInfo[];
  /** Why the backend cannot run here, and what would change that; absent when it can. */
  readonly missing?: string;
}

export async function probeCuda(): Promise<CudaProbe> {
  let devices: readonly DeviceInfo[] = [];
  try {
    devices = listDevices(await loadDriver());
    await readKernels();
    if (!devices.some((device) => device.major >= 8)) {
      return { devices, missing: "No GPU of compute capability 8.0 (Ampere) or newer." };
    }
    return { devices };
  } catch (error) {
    if (error instanceof InfllmError) return { devices, missing: error.message };
    throw error;
  }
}
