/** Opens a device with what the kernels can use, or takes the caller's. */
import { NotAvailableError } from "@infllm/tensor";
import { findAdapter } from "./gpu.ts";
import type { GpuOptions } from "./gpu.ts";

export interface DeviceOptions extends GpuOptions {
  /** Used instead of asking for one. */
  readonly adapter?: GPUAdapter | undefined;
  /** Used as it is, with the features and limits it was made with; `close` leaves it open. */
  readonly device?: GPUDevice | undefined;
}

export interface OpenDevice {
  readonly device: GPUDevice;
  readonly name: string;
  readonly owned: boolean;
}

/** Asked for where the adapter has them. */
const wantedFeatures: readonly GPUFeatureName[] = ["shader-f16", "subgroups", "timestamp-query"];
/** Raised to what the adapter allows. Kernels work with the defaults. */
const wantedLimits = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
] as const;

/** @throws NotAvailableError */
export async function openDevice(options: DeviceOptions): Promise<OpenDevice> {
  if (options.device !== undefined) {
    return { device: options.device, name: nameOf(options.device.adapterInfo), owned: false };
  }
  const adapter = options.adapter ?? (await findAdapter(options));
  const requiredFeatures = wantedFeatures.filter((feature) => adapter.features.has(feature));
  const requiredLimits = Object.fromEntries(wantedLimits.map((limit) => [limit, adapter.limits[limit]]));
  try {
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
    return { device, name: nameOf(adapter.info), owned: true };
  } catch (cause) {
    throw new NotAvailableError(`${nameOf(adapter.info)} gives no WebGPU device: ${String(cause)}`, { cause });
  }
}

function nameOf({ description, device, vendor, architecture }: GPUAdapterInfo): string {
  return description || device || [vendor, architecture].filter(Boolean).join(" ") || "The GPU";
}
