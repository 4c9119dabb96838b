/** What `cudaBackend` would find here, without opening a GPU: for lists of devices. */
import { InfllmError } from "@infllm/tensor";
import { listDevices } from "./context.ts";
import type { DeviceInfo } from "./context.ts";
import { findCublasLt } from "./cublaslt.ts";
import { loadDriver } from "./driver.ts";
import type { Driver } from "./driver.ts";
import { readKernels } from "./module.ts";

export interface CudaProbe {
  /** Every GPU that the driver reports, usable or not. */
  readonly devices: readonly DeviceInfo[];
  /** Name or path of the cuBLASLt that does dense products of many rows; absent when our own kernels do. */
  readonly cublasLt?: string;
  /** What keeps the backend from running here, each with what would change that; empty when it can run. */
  readonly missing: readonly string[];
}

export function probeCuda(): Promise<CudaProbe> {
  return probe(loadDriver, readKernels);
}

/** The same with a driver and kernels of the caller's. Looks at everything: a missing driver does not hide missing kernels. */
export async function probe(openDriver: () => Promise<Driver>, openKernels: () => Promise<unknown>): Promise<CudaProbe> {
  const missing: string[] = [];
  const look = async <Found>(find: () => Found | Promise<Found>): Promise<Found | undefined> => {
    try {
      return await find();
    } catch (error) {
      if (!(error instanceof InfllmError)) throw error;
      missing.push(error.message);
      return undefined;
    }
  };
  const driver = await look(openDriver);
  const devices = driver && (await look(() => listDevices(driver)));
  if (devices && !devices.some(({ major }) => major >= 8)) {
    missing.push("There is no GPU of compute capability 8.0 (Ampere) or newer; use another backend.");
  }
  await look(openKernels);
  const found = driver && (await look(() => findCublasLt(driver)));
  return { devices: devices ?? [], ...(found && { cublasLt: found.path }), missing };
}
