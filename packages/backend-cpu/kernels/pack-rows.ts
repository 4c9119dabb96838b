/**
 * Rows of a weight as checkpoints store them into panels of 8 rows, [k][8], elements of 2 or 4 bytes.
 * args: from, weight, firstRow, rows, k, elementBytes.
 */
export function packRows(args: usize): void {
  let from = <usize>load<u32>(args);
  const weight = <usize>load<u32>(args, 4), first = load<i32>(args, 8), rows = load<i32>(args, 12);
  const k = load<i32>(args, 16), bytes = load<i32>(args, 20);
  for (let r = first; r < first + rows; r++) {
    const lane = <usize>(r & 7), panel = <usize>(r >> 3) * k * 8;
    if (bytes == 4) {
      let to = weight + ((panel + lane) << 2);
      for (let i = 0; i < k; i++) {
        store<u32>(to, load<u32>(from));
        from += 4;
        to += 32;
      }
    } else {
      let to = weight + ((panel + lane) << 1);
      for (let i = 0; i < k; i++) {
        store<u16>(to, load<u16>(from));
        from += 2;
        to += 16;
      }
    }
  }
}
