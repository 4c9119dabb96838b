/**
 * Cosines and sines of a step's positions, computed once and used by q and k of every layer. The angle is the f32
 * product of position and frequency, as checkpoints were trained with; its cosine and sine are exact to f32.
 */
import type { Allocation } from "../wasm/memory.ts";
import type { Machine } from "../wasm/machine.ts";

/** f32 `[rows, 2, half]`: cosines, then sines, times the amplitude. */
class RotationTable {
  #key = "";
  #positions = new Int32Array();
  #frequencies = new Float32Array();
  #allocation: Allocation | undefined;

  /** Address of the table for these positions and frequencies. */
  fill(machine: Machine, positions: Int32Array, frequencies: Float32Array, amplitude: number): number {
    const key = String(amplitude);
    if (this.#allocation && key === this.#key && same(positions, this.#positions) && same(frequencies, this.#frequencies)) {
      return this.#allocation.at;
    }
    this.#key = "";
    this.#positions = positions.slice();
    this.#frequencies = frequencies.slice();
    const bytes = positions.length * frequencies.length * 8;
    if (this.#allocation === undefined || this.#allocation.bytes < bytes) {
      this.#allocation?.give();
      this.#allocation = undefined;
      this.#allocation = machine.memory.take("The table of rotations", bytes);
    }
    const half = frequencies.length;
    const table = machine.memory.f32.subarray(this.#allocation.at >>> 2, (this.#allocation.at + bytes) >>> 2);
    this.#positions.forEach((position, row) => {
      this.#frequencies.forEach((frequency, i) => {
        const angle = Math.fround(position * frequency);
        table[row * 2 * half + i] = Math.cos(angle) * amplitude;
        table[row * 2 * half + half + i] = Math.sin(angle) * amplitude;
      });
    });
    this.#key = key;
    return this.#allocation.at;
  }
}

const tables = new WeakMap<Machine, RotationTable>();

/** The table of this machine's last step, refilled when anything has changed. */
export function rotationTable(machine: Machine, positions: Int32Array, frequencies: Float32Array, amplitude: number): number {
  let table = tables.get(machine);
  if (table === undefined) tables.set(machine, (table = new RotationTable()));
  return table.fill(machine, positions, frequencies, amplitude);
}

function same(a: Int32Array | Float32Array, b: Int32Array | Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
