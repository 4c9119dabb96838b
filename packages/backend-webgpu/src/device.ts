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
  /** The adapter's, which lists more than the device's own. */
  readonly info: GPUAdapterInfo;
  readonly name: string;
  readonly owned: boolean;
}

/** Experimental in Dawn and Chrome, which give it where unsafe APIs are allowed; not in WebGPU's types yet. */
const SUBGROUP_MATRIX = "chromium-experimental-subgroup-matrix";

/** Asked for where the adapter has them. */
const wantedFeatures: readonly string[] = ["shader-f16", "subgroups", SUBGROUP_MATRIX, "timestamp-query"];
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
    const { device } = options;
    return { device, info: device.adapterInfo, name: nameOf(device.adapterInfo), owned: false };
  }
  const adapter = options.adapter ?? (await findAdapter(options));
  const requiredFeatures = wantedFeatures.filter((feature): feature is GPUFeatureName => adapter.features.has(feature as GPUFeatureName));
  const requiredLimits = Object.fromEntries(wantedLimits.map((limit) => [limit, adapter.limits[limit]]));
  try {
    const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
    return { device, info: adapter.info, name: nameOf(adapter.info), owned: true };
  } catch (cause) {
    throw new NotAvailableError(`${nameOf(adapter.info)} gives no WebGPU device: ${String(cause)}`, { cause });
  }
}

interface SubgroupMatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

/** Does the device have the subgroup matrices that `linear-matrix` is written for? */
export function hasSubgroupMatrix({ features }: GPUDevice, info: GPUAdapterInfo): boolean {
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [] } = info as GPUAdapterInfo & {
    readonly subgroupMatrixConfigs?: readonly SubgroupMatrixConfig[];
  };
  const enabled = ["shader-f16", "subgroups", SUBGROUP_MATRIX].every((feature) => features.has(feature));
  const fits = ({ componentType, resultComponentType, M, N, K }: SubgroupMatrixConfig): boolean =>
    componentType === "f16" && resultComponentType === "f32" && M === 16 && N === 16 && K === 16;
  return enabled && subgroupMinSize === 32 && subgroupMaxSize === 32 && subgroupMatrixConfigs.some(fits);
}

/** NVIDIA's description is the driver's version; others leave the device empty. */
function nameOf({ description, device, vendor, architecture }: GPUAdapterInfo): string {
  const made = [vendor, architecture].filter(Boolean).join(" ");
  return (vendor === "nvidia" ? device : description || device) || description || made || "The GPU";
}
