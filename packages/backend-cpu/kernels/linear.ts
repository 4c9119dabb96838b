/**
 * out [rows, n] = x [rows, k] · weightᵀ + bias.
 *
 * f32 weights lie in panels of 8 rows, [k][8], and are read in place; f16 and bf16 lie the same way and quantised rows
 * as they came, both widened slab by slab ([K_SLAB][8] f32, 16 KiB, stays in L1) and used for every row of the task.
 */
import { blockElements, dequantizeRow, blockBytes } from "./dequantize";
import { BF16, F16, F32, widen } from "./half";
import { matmul } from "./matmul";
import { halfRow } from "./one-row";
import { prepareRow, quantizedDot } from "./quantized-row";
import { interleaveFour } from "./vector";

/** Columns of x a slab covers: a multiple of every quantisation block; the f32 slab is 16 KiB. */
const K_SLAB: i32 = 512;
/** Panels widened together when few rows use them, so that `matmul` can run one row by four panels. */
const GROUP: i32 = 4;

/** Scratch: GROUP slabs, 8 linear rows, one edge tile of `rowsPerTask` rows by 8; or a prepared row, 4.5 bytes a number. */
const ROWS_AT: usize = <usize>K_SLAB * 32 * GROUP;
const EDGE_AT: usize = ROWS_AT + <usize>K_SLAB * 32;

/** Eight linear f32 rows of K_SLAB elements to one [count][8] slab. */
function interleave(rows: usize, count: i32, slab: usize): void {
  const stride = <usize>K_SLAB << 2;
  for (let half: usize = 0; half < 2; half++) {
    let r = rows + half * 4 * stride;
    let to = slab + (half << 4);
    for (let i = 0; i < count; i += 4) {
      interleaveFour(r, stride, to);
      r += 16;
      to += 128;
    }
  }
}

/** Panel `panel`, columns [k0, k0 + count), as f32 [count][8] at `slab`. */
function widenPanel(
  weight: usize, kind: i32, n: i32, k: i32, panel: i32, k0: i32, count: i32, slab: usize, rows: usize,
): void {
  if (kind < 3) {
    widen(kind, weight + ((<usize>panel * k + k0) << 4), slab, count << 3);
    return;
  }
  const rowBytes = <usize>(k / blockElements(kind)) * blockBytes(kind);
  for (let r = 0; r < 8; r++) {
    const row = panel * 8 + r;
    if (row < n) dequantizeRow(kind, weight + <usize>row * rowBytes, k0, count, rows + ((<usize>r * K_SLAB) << 2));
  }
  interleave(rows, count, slab);
}

/** The last panel where n is no multiple of 8: through a tile of its own, so that nothing past row n is written. */
function edgePanel(
  x: usize, ldx: usize, m: i32, slab: usize, count: i32, tile: usize, out: usize, ldo: usize, columns: i32, accumulate: bool,
): void {
  matmul(x, ldx, m, slab, 0, 1, count, tile, 32, accumulate);
  for (let i = 0; i < m; i++) memory.copy(out + <usize>i * ldo, tile + (<usize>i << 5), <usize>columns << 2);
}

function addBias(out: usize, ldo: usize, m: i32, bias: usize, n: i32): void {
  for (let i = 0; i < m; i++) {
    const row = out + <usize>i * ldo;
    for (let j: usize = 0; j < <usize>n << 2; j += 4) store<f32>(row + j, load<f32>(row + j) + load<f32>(bias + j));
  }
}

/**
 * Task: rows of block `task / panelBlocks`, panels of block `task % panelBlocks`.
 * args: x, ldx, rows, weight, kind, n, k, bias or 0, out, ldo, rowsPerTask, panelsPerTask, panelBlocks.
 */
export function linear(args: usize, task: i32, scratch: usize): void {
  const ldx = <usize>load<u32>(args, 4) << 2, rows = load<i32>(args, 8);
  const weight = <usize>load<u32>(args, 12), kind = load<i32>(args, 16);
  const n = load<i32>(args, 20), k = load<i32>(args, 24), bias = <usize>load<u32>(args, 28);
  const ldo = <usize>load<u32>(args, 36) << 2, rowsPerTask = load<i32>(args, 40);
  const panelsPerTask = load<i32>(args, 44), panelBlocks = load<i32>(args, 48);
  const row0 = (task / panelBlocks) * rowsPerTask, m = min(rowsPerTask, rows - row0);
  const panel0 = (task % panelBlocks) * panelsPerTask, panelEnd = min(panel0 + panelsPerTask, (n + 7) >> 3);
  const x = <usize>load<u32>(args) + <usize>row0 * ldx, out = <usize>load<u32>(args, 32) + <usize>row0 * ldo;
  const column0 = panel0 << 3, columnEnd = min(panelEnd << 3, n);

  if (kind >= 3 && m == 1 && prepareRow(x, k, scratch)) {
    const rowBytes = <usize>(k / blockElements(kind)) * blockBytes(kind);
    for (let j = column0; j < columnEnd; j++) {
      store<f32>(out + (<usize>j << 2), quantizedDot(kind, scratch, weight + <usize>j * rowBytes, k));
    }
  } else if (m == 1 && (kind == F16 || kind == BF16)) {
    const stride = <usize>k << 4, whole = (columnEnd >> 3) - panel0;
    halfRow(kind, x, weight + <usize>panel0 * stride, stride, whole, k, out + (<usize>column0 << 2));
    if (columnEnd & 7) {
      const tile = scratch + EDGE_AT;
      halfRow(kind, x, weight + <usize>(panel0 + whole) * stride, stride, 1, k, tile);
      memory.copy(out + (<usize>(columnEnd & ~7) << 2), tile, <usize>(columnEnd & 7) << 2);
    }
  } else {
    const step = m < 4 ? GROUP : 1;
    for (let p = panel0; p < panelEnd; p += step) {
      const group = min(step, panelEnd - p);
      for (let k0 = 0; k0 < k; k0 += K_SLAB) {
        const count = min(K_SLAB, k - k0);
        let slab = scratch, stride = <usize>count << 5;
        if (kind == F32) {
          slab = weight + ((<usize>p * k + k0) << 5);
          stride = <usize>k << 5;
        } else {
          for (let g = 0; g < group; g++) {
            widenPanel(weight, kind, n, k, p + g, k0, count, scratch + <usize>g * stride, scratch + ROWS_AT);
          }
        }
        const full = (p + group) * 8 <= n ? group : group - 1;
        const a = x + (<usize>k0 << 2), c = out + (<usize>p << 5);
        matmul(a, ldx, m, slab, stride, full, count, c, ldo, k0 > 0);
        if (full < group) {
          edgePanel(
            a, ldx, m, slab + <usize>full * stride, count, scratch + EDGE_AT, c + (<usize>full << 5), ldo, n & 7, k0 > 0,
          );
        }
      }
    }
  }
  if (bias) addBias(out + (<usize>column0 << 2), ldo, m, bias + (<usize>column0 << 2), columnEnd - column0);
}
