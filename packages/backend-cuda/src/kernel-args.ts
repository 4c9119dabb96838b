/**
 * Packs the arguments of a launch the way C lays them out. Every call adds one parameter, except inside `struct`, where
 * it adds one member. Members align themselves; call `align(8)` before and after a nested structure that holds pointers.
 */
import type { Driver } from "./driver.ts";

/** The driver allows 4 KiB of arguments. */
const ROOM = 4096;
const MOST = 32;

export class KernelArgs {
  /** Addresses of the parameters, as the driver wants them. */
  readonly pointers: BigUint64Array;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #base: number;
  #at = 0;
  #count = 0;
  #inStruct = false;

  constructor(driver: Driver) {
    const block = driver.memory.allocate(ROOM + MOST * 8);
    this.#base = block.address;
    this.#view = new DataView(block.view, 0, ROOM);
    this.#bytes = new Uint8Array(block.view, 0, ROOM);
    this.pointers = new BigUint64Array(block.view, ROOM, MOST);
  }

  reset(): this {
    this.#at = 0;
    this.#count = 0;
    return this;
  }

  /** A device address; 0 is null. */
  pointer(address: number): this {
    this.#view.setBigUint64(this.#next(8, 8), BigInt(address), true);
    return this;
  }

  i32(value: number): this {
    this.#view.setInt32(this.#next(4, 4), value, true);
    return this;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#next(4, 4), value, true);
    return this;
  }

  i64(value: number): this {
    this.#view.setBigInt64(this.#next(8, 8), BigInt(value), true);
    return this;
  }

  f32(value: number): this {
    this.#view.setFloat32(this.#next(4, 4), value, true);
    return this;
  }

  /** Ready bytes, such as a tensor map (aligned to 64). */
  bytes(data: Uint8Array, alignment: number): this {
    const at = this.#next(data.length, alignment);
    this.#bytes.set(data, at);
    return this;
  }

  /** One parameter that is a structure; `members` adds its members in order. */
  struct(members: (args: this) => void): this {
    this.#next(0, 16);
    this.#inStruct = true;
    members(this);
    this.#inStruct = false;
    return this;
  }

  align(alignment: number): this {
    this.#at = Math.ceil(this.#at / alignment) * alignment;
    return this;
  }

  #next(bytes: number, alignment: number): number {
    const at = Math.ceil(this.#at / alignment) * alignment;
    if (!this.#inStruct) {
      this.pointers[this.#count] = BigInt(this.#base + at);
      this.#count++;
    }
    this.#at = at + bytes;
    return at;
  }
}
