import type { Backend, DeviceTensor } from "@infllm/tensor";

/** A tensor of rows that grows on demand. */
export class ScratchRows {
  #tensor: DeviceTensor | undefined;

  constructor(
    private readonly backend: Backend,
    private readonly width: number,
  ) {}

  /** `[rows, width]`, of whatever it held before. */
  rows(rows: number): DeviceTensor {
    if (this.#tensor === undefined || (this.#tensor.shape[0] ?? 0) < rows) {
      this.release();
      this.#tensor = this.backend.allocate(this.backend.capabilities.activation, [rows, this.width]);
    }
    return this.#tensor.view({ rows: [0, rows] });
  }

  /** The same, filled. */
  filled(data: Float32Array): DeviceTensor {
    const tensor = this.rows(data.length / this.width);
    this.backend.write(tensor, data);
    return tensor;
  }

  release(): void {
    this.#tensor?.release();
    this.#tensor = undefined;
  }
}
