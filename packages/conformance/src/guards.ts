/** Tensors with a border of canaries, so that an op that writes (or reads) beside its tensor is caught. */
import type { DeviceTensor, DType } from "@infllm/tensor";
import type { Device } from "./device.ts";

/** Rows above and below, and columns left and right: views a model takes start at multiples of 8 columns or more. */
const BORDER = 8;

/** A `[rows, columns]` column view in the middle of a larger tensor that holds one canary value. */
export class Guarded {
  readonly tensor: DeviceTensor;
  readonly #whole: DeviceTensor;
  readonly #stride: number;

  constructor(
    private readonly device: Device,
    dtype: DType,
    private readonly rows: number,
    private readonly columns: number,
    private readonly canary: number,
  ) {
    this.#stride = columns + 2 * BORDER;
    const length = (rows + 2 * BORDER) * this.#stride;
    this.#whole = device.tensor(dtype, [rows + 2 * BORDER, this.#stride], new Float32Array(length).fill(canary));
    this.tensor = this.#whole.view({ rows: [BORDER, BORDER + rows], columns: [BORDER, BORDER + columns] });
  }

  /** Overwrites the inside and restores the border. */
  fill(values: ArrayLike<number>): void {
    const whole = new Float32Array((this.rows + 2 * BORDER) * this.#stride).fill(this.canary);
    for (let r = 0; r < this.rows; r++) {
      for (let c = 0; c < this.columns; c++) whole[this.#at(r, c)] = values[r * this.columns + c] ?? NaN;
    }
    this.device.write(this.#whole, whole);
  }

  /** The inside, `[rows, columns]`. @throws Error when a canary has changed */
  async read(): Promise<Float32Array> {
    const whole = await this.device.read(this.#whole);
    const inside = new Float32Array(this.rows * this.columns);
    for (let r = 0; r < this.rows; r++) {
      const from = this.#at(r, 0);
      inside.set(whole.subarray(from, from + this.columns), r * this.columns);
      whole.fill(this.canary, from, from + this.columns);
    }
    const harmed = whole.findIndex((value) => !Object.is(value, this.canary));
    if (harmed >= 0) {
      const [row, column] = [Math.floor(harmed / this.#stride) - BORDER, (harmed % this.#stride) - BORDER];
      throw new Error(`An op wrote ${whole[harmed]} outside its [${this.rows}, ${this.columns}] output, at row ${row}, column ${column}.`);
    }
    return inside;
  }

  #at(row: number, column: number): number {
    return (row + BORDER) * this.#stride + column + BORDER;
  }
}

/** A `[kvHeads, rows, columns]` tensor with spare rows per head and canaries in them. */
export class GuardedPerHead {
  readonly tensor: DeviceTensor;
  readonly #capacity: number;
  static readonly #canary = -77777;

  constructor(
    private readonly device: Device,
    dtype: "i32" | "f32",
    private readonly kvHeads: number,
    private readonly rows: number,
    private readonly columns: number,
  ) {
    this.#capacity = rows + 3;
    const length = kvHeads * this.#capacity * columns;
    this.tensor = device.tensor(dtype, [kvHeads, this.#capacity, columns], new Float32Array(length).fill(GuardedPerHead.#canary));
  }

  /** `values` is `[kvHeads, rows, columns]`. */
  fill(values: ArrayLike<number>): void {
    const whole = new Float32Array(this.kvHeads * this.#capacity * this.columns).fill(GuardedPerHead.#canary);
    const size = this.rows * this.columns;
    for (let head = 0; head < this.kvHeads; head++) {
      for (let i = 0; i < size; i++) whole[head * this.#capacity * this.columns + i] = values[head * size + i] ?? NaN;
    }
    this.device.write(this.tensor, whole);
  }

  /** `[kvHeads, rows, columns]`. @throws Error when a canary has changed */
  async read(): Promise<Float32Array> {
    const whole = await this.device.read(this.tensor);
    const inside = new Float32Array(this.kvHeads * this.rows * this.columns);
    for (let head = 0; head < this.kvHeads; head++) {
      const from = head * this.#capacity * this.columns;
      const end = from + this.rows * this.columns;
      inside.set(whole.subarray(from, end), head * this.rows * this.columns);
      const spare = whole.subarray(end, from + this.#capacity * this.columns);
      if (spare.some((value) => value !== GuardedPerHead.#canary)) {
        throw new Error(`An op wrote past the ${this.rows} rows of KV head ${head}.`);
      }
    }
    return inside;
  }
}
