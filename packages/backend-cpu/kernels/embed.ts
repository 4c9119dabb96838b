/** Rows of a weight times `scale`. args: ids, table, kind, k, scale, out, ldo, rows; ids are in range. */
import { blockBytes, blockElements, dequantizeRow } from "./dequantize";
import { loadScalar } from "./half";

export function embed(args: usize): void {
  const table = <usize>load<u32>(args, 4), kind = load<i32>(args, 8), k = load<i32>(args, 12);
  const scale = load<f32>(args, 16), ldo = <usize>load<u32>(args, 24) << 2, rows = load<i32>(args, 28);
  for (let r = 0; r < rows; r++) {
    const id = load<i32>(<usize>load<u32>(args) + (<usize>r << 2));
    const out = <usize>load<u32>(args, 20) + <usize>r * ldo;
    if (kind < 3) {
      const first = (<usize>(id >> 3) * k) * 8 + <usize>(id & 7);
      for (let i: usize = 0; i < <usize>k; i++) {
        store<f32>(out + (i << 2), loadScalar(kind, table, first + (i << 3)) * scale);
      }
    } else {
      const row = table + <usize>id * (<usize>(k / blockElements(kind)) * blockBytes(kind));
      dequantizeRow(kind, row, 0, k, out);
      for (let i: usize = 0; i < <usize>k << 2; i += 4) store<f32>(out + i, load<f32>(out + i) * scale);
    }
  }
}
