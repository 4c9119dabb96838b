/** A backend as the suite uses it: f32 on the host, the backend's own types on the device, everything released after. */
import { fromF32, hostArray, hostTensor, toF32 } from "@infllm/tensor";
import type { Backend, DeviceTensor, DType, FloatDType, HostArray, NeuralOps, WeightDType, WeightMatrix } from "@infllm/tensor";
import type { SelectionOps } from "@infllm/block-selection";
import type { AttentionOps } from "@infllm/attention";
import { mustBe } from "./compare.ts";
import { Guarded } from "./guards.ts";
import { allRoundedTo } from "./tolerance.ts";

/** A backend with any of the op groups. */
export type AnyBackend = Backend & { readonly selection?: SelectionOps; readonly attention?: AttentionOps };

export class Device {
  readonly #held: { release(): void }[] = [];

  constructor(readonly backend: AnyBackend) {}

  get activation(): FloatDType {
    return this.backend.capabilities.activation;
  }

  get neural(): NeuralOps {
    return mustBe(this.backend.neural);
  }

  get selection(): SelectionOps {
    return mustBe(this.backend.selection);
  }

  get attention(): AttentionOps {
    return mustBe(this.backend.attention);
  }

  /** The numbers as the device will see them: rounded to the activation type. */
  asActivations(values: ArrayLike<number>): Float32Array {
    return allRoundedTo(this.activation, values);
  }

  /** Remembers something to release after the test. */
  hold<T extends { release(): void }>(resource: T): T {
    this.#held.push(resource);
    return resource;
  }

  allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
    return this.hold(this.backend.allocate(dtype, shape));
  }

  write(tensor: DeviceTensor, values: ArrayLike<number>): void {
    this.backend.write(tensor, encode(tensor.dtype, values));
  }

  async read(tensor: DeviceTensor): Promise<Float32Array> {
    return decode(tensor.dtype, await this.backend.read(tensor));
  }

  tensor(dtype: DType, shape: readonly number[], values: ArrayLike<number>): DeviceTensor {
    const tensor = this.allocate(dtype, shape);
    this.write(tensor, values);
    return tensor;
  }

  /** Activations `[rows, columns]` as a column view whose surroundings are NaN: reading past them shows. */
  input(values: ArrayLike<number>, columns: number): DeviceTensor {
    return this.guarded(values, columns, NaN).tensor;
  }

  /** Activations to be overwritten, surrounded by canaries. */
  output(rows: number, columns: number, dtype: FloatDType = this.activation): Guarded {
    return new Guarded(this, dtype, rows, columns, 12288);
  }

  /** Activations to be updated in place, surrounded by canaries. */
  inout(values: ArrayLike<number>, columns: number): Guarded {
    return this.guarded(values, columns, 12288);
  }

  /**
   * A weight filled by two writes, the later rows first: from memory that changes right after, and from memory that the
   * backend lends, if it does.
   */
  weight(dtype: WeightDType, rows: number, columns: number, data: Uint8Array): WeightMatrix {
    const weight = this.hold(this.neural.allocateWeight(rows, columns, dtype));
    const half = Math.floor(rows / 2) * (data.length / rows);
    const later = data.slice(half);
    weight.writeRows(Math.floor(rows / 2), later);
    later.fill(255);
    if (half > 0) weight.writeRows(0, this.#lentCopy(data.subarray(0, half)));
    return weight;
  }

  releaseAll(): void {
    for (const resource of this.#held.splice(0).reverse()) resource.release();
  }

  #lentCopy(data: Uint8Array): Uint8Array {
    if (this.backend.uploadMemory === undefined) return data;
    const { bytes } = this.hold(this.backend.uploadMemory(data.length));
    bytes.set(data);
    return bytes;
  }

  private guarded(values: ArrayLike<number>, columns: number, canary: number): Guarded {
    const guarded = new Guarded(this, this.activation, values.length / columns, columns, canary);
    guarded.fill(values);
    return guarded;
  }
}

/** Host numbers in a dtype's own bits. */
export function encode(dtype: DType, values: ArrayLike<number>): HostArray {
  if (dtype === "i32") return new Int32Array(values);
  if (dtype === "u32") return new Uint32Array(values);
  if (dtype === "u8") return new Uint8Array(values);
  return hostArray(hostTensor(dtype, [values.length], fromF32(dtype, new Float32Array(values))));
}

export function decode(dtype: DType, data: HostArray): Float32Array {
  return toF32(dtype, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), data.length);
}
