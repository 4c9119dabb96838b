/** A kernel's uniform structure: scalars in the order of its declaration, four bytes each. */
export const PARAM_BYTES = 256;

export class Params {
  readonly #view = new DataView(new ArrayBuffer(PARAM_BYTES));
  #at = 0;

  reset(): this {
    this.#at = 0;
    return this;
  }

  u32(...values: readonly number[]): this {
    for (const value of values) {
      this.#view.setUint32(this.#at, value, true);
      this.#at += 4;
    }
    return this;
  }

  i32(...values: readonly number[]): this {
    for (const value of values) {
      this.#view.setInt32(this.#at, value, true);
      this.#at += 4;
    }
    return this;
  }

  f32(...values: readonly number[]): this {
    for (const value of values) {
      this.#view.setFloat32(this.#at, value, true);
      this.#at += 4;
    }
    return this;
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#view.buffer, 0, this.#at);
  }
}
