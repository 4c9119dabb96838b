/** Moves rows that are rotated already (RoPE) to other positions: rotations about the same axes add up. */
import type { Rotation } from "./method.ts";

/**
 * @param rows f32 `[rows, heads * headDim]`, rotated for some position each
 * @param shiftOf tokens to move row r by; negative towards the start
 * @returns f32 of the same shape
 */
export function rotateRows(rows: Float32Array, headDim: number, width: number, { frequencies }: Rotation, shiftOf: (row: number) => number): Float32Array {
  const half = frequencies.length;
  const moved = rows.slice();
  const [cos, sin] = [new Float64Array(half), new Float64Array(half)];
  let before = NaN;
  for (let row = 0; row < rows.length / width; row++) {
    const shift = shiftOf(row);
    if (shift === 0) continue;
    if (shift !== before) {
      before = shift;
      for (let i = 0; i < half; i++) {
        // As backends round it, so that a shift to position 0 undoes a rotation.
        const angle = Math.fround(shift * (frequencies[i] as number));
        cos[i] = Math.cos(angle);
        sin[i] = Math.sin(angle);
      }
    }
    for (let head = row * width; head < (row + 1) * width; head += headDim) {
      for (let i = 0; i < half; i++) {
        const [x, y] = [rows[head + i] as number, rows[head + half + i] as number];
        const [c, s] = [cos[i] as number, sin[i] as number];
        moved[head + i] = x * c - y * s;
        moved[head + half + i] = y * c + x * s;
      }
    }
  }
  return moved;
}
