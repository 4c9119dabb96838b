/** The GPU's primary context in this process, its properties, and the one place that judges what driver calls return. */
import { DeviceLostError, NotAvailableError, UsageError } from "@infllm/tensor";
import { CudaError, fatalStatuses, remedies } from "./cuda-error.ts";
import { SUCCESS, attribute } from "./driver.ts";
import type { Driver, Status } from "./driver.ts";

export interface DeviceInfo {
  readonly ordinal: number;
  readonly name: string;
  /** Compute capability, such as 9.0. */
  readonly major: number;
  readonly minor: number;
  readonly multiprocessors: number;
  /** Shared memory that one block of threads may ask for. */
  readonly sharedBytes: number;
  readonly memoryBytes: number;
  /** The newest CUDA version that the driver supports, such as "13.0". */
  readonly driverVersion: string;
}

export class Context {
  #lost: DeviceLostError | undefined;
  #closed = false;

  private constructor(
    readonly driver: Driver,
    readonly device: DeviceInfo,
    private readonly handle: number,
    private readonly number: number,
  ) {}

  /** @throws NotAvailableError when there is no such GPU or it is too old */
  static open(driver: Driver, ordinal: number): Context {
    const devices = listDevices(driver);
    const device = devices[ordinal];
    if (device === undefined) {
      throw new NotAvailableError(`There is no GPU ${ordinal}; ${devices.length} can be used, counted from 0.`);
    }
    if (device.major < 8) {
      throw new NotAvailableError(
        `${device.name} has compute capability ${device.major}.${device.minor}; the cuda backend needs 8.0 (Ampere) or newer. Use another backend.`,
      );
    }
    const [number, handle] = [new Int32Array(1), new BigUint64Array(1)];
    judge(driver, driver.api.cuDeviceGet(number, ordinal), `opening GPU ${ordinal}`);
    judge(driver, driver.api.cuDevicePrimaryCtxRetain(handle, number[0] as number), `making a context on ${device.name}`);
    const context = new Context(driver, device, Number(handle[0]), number[0] as number);
    try {
      context.use();
    } catch (error) {
      context.close();
      throw error;
    }
    return context;
  }

  /** Makes the context current. @throws UsageError after close, DeviceLostError after a fault */
  use(): void {
    if (this.#closed) throw new UsageError("The cuda backend was closed. Make another with cudaBackend().");
    if (this.#lost) throw this.#lost;
    this.check(this.driver.api.cuCtxSetCurrent(this.handle), "making the context current");
  }

  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** @throws DeviceLostError for errors that end the context, CudaError for others */
  check(status: Status, doing: string): void {
    if (status === SUCCESS) return;
    if (!fatalStatuses.has(status)) return judge(this.driver, status, doing);
    this.#lost ??= new DeviceLostError(
      `${this.device.name} stopped with ${statusName(this.driver, status)}, noticed while ${doing}; an op enqueued earlier may be the ` +
        "cause. Everything on this backend is lost and results since the last read cannot be trusted. Close it and start a " +
        "new process. compute-sanitizer names the kernel at fault.",
    );
    throw this.#lost;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.driver.api.cuDevicePrimaryCtxRelease_v2(this.number);
  }
}

/** Every GPU of this machine. @throws NotAvailableError when the driver reports none */
export function listDevices(driver: Driver): DeviceInfo[] {
  const { api } = driver;
  judge(driver, api.cuInit(0), "starting the driver");
  const one = new Int32Array(1);
  judge(driver, api.cuDriverGetVersion(one), "asking for the driver's version");
  const version = one[0] as number;
  judge(driver, api.cuDeviceGetCount(one), "counting GPUs");
  return Array.from({ length: one[0] as number }, (_, ordinal) => {
    const doing = `reading the properties of GPU ${ordinal}`;
    judge(driver, api.cuDeviceGet(one, ordinal), doing);
    const device = one[0] as number;
    const value = (number: number): number => {
      judge(driver, api.cuDeviceGetAttribute(one, number, device), doing);
      return one[0] as number;
    };
    const name = new Uint8Array(256);
    judge(driver, api.cuDeviceGetName(name, name.length, device), doing);
    const bytes = new BigUint64Array(1);
    judge(driver, api.cuDeviceTotalMem_v2(bytes, device), doing);
    return {
      ordinal,
      name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
      major: value(attribute.major),
      minor: value(attribute.minor),
      multiprocessors: value(attribute.multiprocessors),
      sharedBytes: value(attribute.maxSharedBytes),
      memoryBytes: Number(bytes[0]),
      driverVersion: `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`,
    };
  });
}

/** The driver's own name for a status, such as `CUDA_ERROR_INVALID_VALUE`. */
export function statusName(driver: Driver, status: Status): string {
  const name = new BigUint64Array(1);
  return driver.api.cuGetErrorName(status, name) === SUCCESS ? driver.memory.text(Number(name[0])) : `CUDA error ${status}`;
}

function judge(driver: Driver, status: Status, doing: string): void {
  if (status === SUCCESS) return;
  const name = statusName(driver, status);
  const remedy = remedies.get(status);
  // Errors before a context exists mean that there is no usable GPU.
  if (status === 34 || status === 100 || status === 803) throw new NotAvailableError(`CUDA: ${name} while ${doing}. ${remedy ?? ""}`);
  throw new CudaError(name, doing, remedy);
}
